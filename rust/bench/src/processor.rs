//! What a process on this machine has used of the processors.

use std::time::Duration;

use anyhow::{Context, Result};

/// Returns the time of all threads that live; `None` on systems other than Linux.
pub(crate) fn time_of(pid: u32) -> Result<Option<Duration>> {
    if !cfg!(target_os = "linux") {
        return Ok(None);
    }
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"))
        .with_context(|| format!("there is no process {pid}"))?;
    let mut nanos = 0;
    for thread in threads {
        // A thread that has ended meanwhile has no file.
        if let Ok(text) = std::fs::read_to_string(thread?.path().join("schedstat")) {
            nanos += text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Ok(Some(Duration::from_nanos(nanos)))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_busy_thread_takes_time() {
        let now = || time_of(std::process::id()).expect("it runs").expect("on Linux");
        let (before, began) = (now(), Instant::now());
        while now() - before < Duration::from_millis(20) {
            assert!(began.elapsed() < Duration::from_secs(20), "busy, and no time is counted");
        }
        assert!(time_of(u32::MAX).is_err());
    }
}
