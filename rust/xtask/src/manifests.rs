//! Checks the manifests for Kubernetes and Agones in `docs/fleet`, and that the check finds known faults.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::repo::Repo;
use crate::suites::Tally;
use crate::{files, foreign};

/// Checks all manifests together, because their names must fit, and then the bad ones, which must fail.
pub(crate) fn suite(repo: &Repo) -> Result<Tally> {
    let folder = repo.root.join("tests/manifests");
    let checker = || foreign::manifest_checker(&folder.join("check.py"));
    let manifests = files::with_ending(&repo.root.join("docs/fleet"), "yaml")?;
    let mut tally = Tally::default();
    tally.add(check(checker()?, &manifests).and_then(|faults| {
        ensure!(faults.is_empty(), "docs/fleet\n{}", faults.join("\n"));
        Ok(())
    }));
    tally.add(check(checker()?, &[folder.join("bad.yaml")]).and_then(|faults| {
        let missed: Vec<_> =
            FAULTS.iter().filter(|fault| !faults.iter().any(|found| found.contains(**fault))).collect();
        ensure!(missed.is_empty(), "the check does not see in bad.yaml: {missed:?}\n{}", faults.join("\n"));
        Ok(())
    }));
    Ok(tally)
}

/// Returns one line for each fault.
fn check(mut checker: Command, manifests: &[impl AsRef<Path>]) -> Result<Vec<String>> {
    let output =
        checker.args(manifests.iter().map(AsRef::as_ref)).output().context("cannot start the check")?;
    let lines: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    let is_good = output.status.success() && lines.iter().any(|line| line.starts_with("OK: "));
    // A check that crashes prints no faults, but an error to stderr.
    ensure!(
        is_good || output.stderr.is_empty() && !lines.is_empty(),
        "the check failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(if is_good { Vec::new() } else { lines })
}

/// The faults of the bad manifests: from the schemas of Kubernetes, from ours for Agones, and from what must fit together.
const FAULTS: [&str; 14] = [
    "'podManagmentPolicy' was unexpected",
    "'UDP' is not one of ['TCP']",
    "'imagee' was unexpected",
    "FleetAutoscaler spec.policy.buffer.bufferSize",
    "StatefulSet: there is no volume run",
    "StatefulSet livenessProbe: there is no port play",
    "Service game-0: there is no port play",
    "Service game-2: it chooses no pod",
    "Ingress /game-0/: there is no Service game-0 with port play",
    "StatefulSet: there is no Service nobody",
    "StatefulSet: no path of the Ingress leads to game-1",
    "PodDisruptionBudget: it chooses no pod",
    "FleetAutoscaler: there is no Fleet games",
    "GameServerAllocation: there is no such Fleet",
];
