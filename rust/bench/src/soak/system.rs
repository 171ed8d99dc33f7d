//! What this process holds, by what Linux says; on other systems the checks that need it are left out.

use std::alloc::System;
use std::fs;

use cap::Cap;

/// Must be the same after the soak as before.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) files: usize,
    pub(crate) threads: usize,
    /// KiB that are allocated.
    pub(crate) allocated: usize,
    /// KiB in memory, with what the allocator keeps for later.
    pub(crate) resident: usize,
}

/// `None` on systems other than Linux.
pub(crate) fn usage() -> Option<Usage> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let number = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
    };
    // One of them is the folder that is read here.
    let files = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    let allocated = ALLOCATOR.allocated() / 1024;
    Some(Usage { files, threads: number("Threads")?, allocated, resident: number("VmRSS")? })
}

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);
