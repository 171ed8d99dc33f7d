//! `cargo xtask soak`: servers, and clients that come and go, on loopback, for as long as asked.

use anyhow::Result;

use crate::repo::Repo;
use crate::ui;

/// How long, with how many clients, and from which seed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SoakOptions {
    /// Run for N seconds
    #[arg(long, value_name = "N", default_value_t = Self::default().seconds)]
    pub(crate) seconds: u64,
    /// Keep N clients connected
    #[arg(long, value_name = "N", default_value_t = Self::default().clients)]
    pub(crate) clients: usize,
    /// Repeat the run of this seed; by default, each run has another seed
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

impl Default for SoakOptions {
    fn default() -> Self {
        Self { seconds: 45, clients: 500, seed: None }
    }
}

/// Returns true if no packet was lost, and all memory, files and threads were released.
pub(crate) fn run(repo: &Repo, options: &SoakOptions) -> Result<bool> {
    ui::step(&format!("Soaking for {} s with {} clients", options.seconds, options.clients));
    let (seconds, clients) = (options.seconds.to_string(), options.clients.to_string());
    let seed = options.seed.map(|seed| seed.to_string());
    let mut arguments =
        vec!["run", "--release", "--quiet", "--package=websocket-multiplayer-bench", "--bin=wssoak", "--"];
    arguments.extend(["--seconds", &seconds, "--clients", &clients]);
    if let Some(seed) = &seed {
        arguments.extend(["--seed", seed]);
    }
    Ok(repo.run_cargo(&arguments, &[], |_| true)?.success())
}
