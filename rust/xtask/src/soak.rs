//! `cargo xtask soak`: servers and churning clients on loopback, for as long as asked.

use anyhow::Result;

use crate::repo::Repo;
use crate::ui;

/// How long, with how many, and which game.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SoakOptions {
    /// For how long
    #[arg(long, value_name = "N", default_value_t = Self::default().seconds)]
    pub(crate) seconds: u64,
    /// With how many clients at once
    #[arg(long, value_name = "N", default_value_t = Self::default().clients)]
    pub(crate) clients: usize,
    /// Repeat a game; another one each time unless given
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

impl Default for SoakOptions {
    fn default() -> Self {
        Self { seconds: 60, clients: 500, seed: None }
    }
}

/// True: nothing was lost, and everything was given back.
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
