//! The resources of this process, as Linux reports them. Other systems skip the checks that need them.

use std::alloc::System;
use std::fs;

use cap::Cap;

/// The numbers of files and threads; they must be the same before and after the soak.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) files: usize,
    pub(crate) threads: usize,
    /// Allocated memory in KiB.
    pub(crate) allocated: usize,
    /// Resident memory in KiB, including what the allocator keeps for later.
    pub(crate) resident: usize,
}

/// `None` on systems other than Linux.
pub(crate) fn usage() -> Option<Usage> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let number = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
    };
    // One of them is the folder that is being read.
    let files = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    let allocated = ALLOCATOR.allocated() / 1024;
    Some(Usage { files, threads: number("Threads")?, allocated, resident: number("VmRSS")? })
}

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);
