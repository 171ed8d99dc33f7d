//! Which processors the threads of a benchmark may use.

#[cfg(target_os = "linux")]
use anyhow::{Context, Result, ensure};

/// Gives the main thread of a server the first processor for itself, and leaves the others to the server's other threads and to its client.
///
/// With few processors, the scheduler otherwise lets these run in the middle of a frame's work. That is the load of the client's machine,
/// and it hits a server that hands work to another thread more than one that does all of it itself.
#[cfg(target_os = "linux")]
pub(crate) fn set_main_thread_apart(server: u32, client: u32) -> Result<()> {
    use rustix::io::Errno;
    use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

    let mut others = sched_getaffinity(None)?;
    let first = (0..CpuSet::MAX_CPU).find(|cpu| others.is_set(*cpu)).context("there is no processor")?;
    others.unset(first);
    ensure!(others.count() > 0, "this row needs two processors");
    let mut own = CpuSet::new();
    own.set(first);
    let tasks = fs_err::read_dir(format!("/proc/{server}/task"))?;
    let threads = tasks.map(|task| Ok(task?.file_name().to_string_lossy().parse()?));
    for thread in threads.collect::<Result<Vec<u32>>>()? {
        let pid = Pid::from_raw(thread.cast_signed()).context("a thread has a number")?;
        match sched_setaffinity(Some(pid), if thread == server { &own } else { &others }) {
            // It has ended meanwhile.
            Err(Errno::SRCH) if thread != server => {}
            outcome => outcome?,
        }
    }
    let pid = Pid::from_raw(client.cast_signed()).context("a process has a number")?;
    Ok(sched_setaffinity(Some(pid), &others)?)
}

/// Other systems decide themselves.
#[cfg(not(target_os = "linux"))]
pub(crate) fn set_main_thread_apart(_server: u32, _client: u32) -> anyhow::Result<()> {
    Ok(())
}
