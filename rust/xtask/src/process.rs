//! Child processes: several at once, with their lines in order, and without leftovers.
//!
//! The crate `process-wrap` would replace the few lines of `kill_tree`, and brings `nix` and `windows` along. But the handler of
//! Ctrl-C needs ids that it can kill, and the crate's children belong to the thread that waits for them.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::ui;

/// One line that a process printed.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Since the start of the group.
    pub(crate) at: Duration,
    pub(crate) text: String,
}

/// What a group reports.
#[derive(Debug)]
pub(crate) enum Event {
    /// A member, by its index, printed a line.
    Line(usize, Line),
    /// Nobody printed anything for a moment.
    Quiet,
}

/// Processes that are supervised together. Dropping the group kills what still runs, children included.
#[derive(Debug)]
pub(crate) struct Group {
    /// The name in messages.
    label: String,
    limit: Duration,
    started: Instant,
    members: Vec<Member>,
    sender: Sender<Output>,
    receiver: Receiver<Output>,
}

#[derive(Debug)]
struct Member {
    label: String,
    child: Child,
    status: Option<ExitStatus>,
    exited_at: Option<Instant>,
    open_streams: u8,
    tail: VecDeque<Line>,
}

enum Output {
    Line(usize, Line),
    Eof(usize),
}

/// The end of a process that ran alone.
#[derive(Debug)]
pub(crate) struct Ended {
    label: String,
    pub(crate) status: ExitStatus,
    pub(crate) took: Duration,
    /// Its last lines.
    pub(crate) tail: String,
}

/// Runs one process to its end, within a time limit, and passes each line on.
pub(crate) fn run(
    label: &str,
    command: Command,
    limit: Duration,
    mut on_line: impl FnMut(&str),
) -> Result<Ended> {
    let mut group = Group::new(label, limit);
    let index = group.spawn(label, command)?;
    while let Some(event) = group.next()? {
        if let Event::Line(_, line) = event {
            on_line(&line.text);
        }
    }
    let status = group.status(index).context("all members have ended")?;
    Ok(Ended { label: label.to_owned(), status, took: group.started.elapsed(), tail: group.tails() })
}

impl Ended {
    /// Returns an error with the last lines, unless the process was successful.
    pub(crate) fn success(self) -> Result<Self> {
        ensure!(self.status.success(), "{}: {}\n{}", self.label, describe(self.status), self.tail);
        Ok(self)
    }
}

impl Group {
    /// Creates a group with a time limit.
    pub(crate) fn new(label: &str, limit: Duration) -> Self {
        let (sender, receiver) = channel();
        Self {
            label: label.to_owned(),
            limit,
            started: Instant::now(),
            members: Vec::new(),
            sender,
            receiver,
        }
    }

    /// Starts `command` in a process group of its own, without input, both outputs captured.
    pub(crate) fn spawn(&mut self, label: &str, mut command: Command) -> Result<usize> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        live().insert(child.id());
        let index = self.members.len();
        let streams: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|stream| Box::new(stream) as _),
            child.stderr.take().map(|stream| Box::new(stream) as _),
        ];
        let mut open_streams = 0;
        for stream in streams.into_iter().flatten() {
            open_streams += 1;
            self.relay(index, stream);
        }
        self.members.push(Member {
            label: label.to_owned(),
            child,
            status: None,
            exited_at: None,
            open_streams,
            tail: VecDeque::new(),
        });
        Ok(index)
    }

    /// Waits a moment for the next line of any member. `None`: all members have ended, and all their lines were returned. Returns an error
    /// if the group exceeds its time limit.
    pub(crate) fn next(&mut self) -> Result<Option<Event>> {
        ensure!(
            self.started.elapsed() <= self.limit,
            "{} did not end within {}\n{}",
            self.label,
            ui::seconds(self.limit),
            self.tails()
        );
        let line = self.next_line(MOMENT);
        let doing = self.members.last().and_then(|member| member.tail.back());
        let doing = doing.map(|line| line.text.trim()).filter(|text| !text.starts_with('{'));
        ui::sign_of_life(&self.label, self.started, doing.unwrap_or_default());
        match line {
            Some((index, line)) => Ok(Some(Event::Line(index, line))),
            None if self.all_done() => Ok(None),
            None => Ok(Some(Event::Quiet)),
        }
    }

    /// Waits up to `wait` for the next line of any member. `None` does not mean that the members have ended.
    pub(crate) fn next_line(&mut self, wait: Duration) -> Option<(usize, Line)> {
        let deadline = Instant::now() + wait;
        loop {
            // Short waits, because the end of a process is found by polling.
            let slice = deadline.saturating_duration_since(Instant::now()).min(SLICE);
            match self.receiver.recv_timeout(slice) {
                Ok(Output::Line(index, line)) => {
                    let tail = &mut self.members[index].tail;
                    if tail.len() == TAIL_LINES {
                        tail.pop_front();
                    }
                    tail.push_back(line.clone());
                    return Some((index, line));
                }
                Ok(Output::Eof(index)) => self.members[index].open_streams -= 1,
                Err(_) => {}
            }
            self.reap();
            if Instant::now() >= deadline || self.all_done() {
                return None;
            }
        }
    }

    pub(crate) fn kill_all(&mut self) {
        for index in 0..self.members.len() {
            self.kill(index);
            let member = &mut self.members[index];
            if member.status.is_none() {
                member.status = member.child.wait().ok();
            }
            live().remove(&member.child.id());
        }
    }

    /// Ends one member and its children. Its last lines are still returned.
    pub(crate) fn kill(&mut self, index: usize) {
        let member = &mut self.members[index];
        if member.status.is_none() {
            kill_tree(member.child.id());
            // The processes are dead already, except on systems where only this call works.
            drop(member.child.kill());
        }
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The system's number of the process.
    pub(crate) fn pid(&self, index: usize) -> u32 {
        self.members[index].child.id()
    }

    pub(crate) fn label(&self, index: usize) -> &str {
        &self.members[index].label
    }

    pub(crate) fn status(&self, index: usize) -> Option<ExitStatus> {
        self.members[index].status
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The last lines of every member.
    pub(crate) fn tails(&self) -> String {
        let mut text = String::new();
        for member in &self.members {
            // Writing to a string cannot fail.
            _ = writeln!(text, "--- {} (last {} lines)", member.label, member.tail.len());
            for line in &member.tail {
                _ = writeln!(text, "{:8.3} {}", line.at.as_secs_f64(), line.text);
            }
        }
        text
    }

    /// Returns whether the process has exited and all its lines were returned. Does not wait for a grandchild that keeps a pipe open.
    pub(crate) fn is_done(&self, index: usize) -> bool {
        let member = &self.members[index];
        member.exited_at.is_some_and(|at| member.open_streams == 0 || at.elapsed() > LINGER)
    }

    pub(crate) fn all_done(&self) -> bool {
        (0..self.members.len()).all(|index| self.is_done(index))
    }

    fn relay(&self, index: usize, stream: impl Read + Send + 'static) {
        let (sender, started) = (self.sender.clone(), self.started);
        thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut bytes = Vec::new();
            while matches!(reader.read_until(b'\n', &mut bytes), Ok(1..)) {
                let text = strip_colours(String::from_utf8_lossy(&bytes).trim_end());
                bytes.clear();
                if sender.send(Output::Line(index, Line { at: started.elapsed(), text })).is_err() {
                    return;
                }
            }
            // Fails when the group is gone, and then nothing needs it.
            drop(sender.send(Output::Eof(index)));
        });
    }

    fn reap(&mut self) {
        for member in &mut self.members {
            if member.status.is_none()
                && let Ok(Some(status)) = member.child.try_wait()
            {
                member.status = Some(status);
                member.exited_at = Some(Instant::now());
                // Processes that it started must not outlive it.
                kill_tree(member.child.id());
                live().remove(&member.child.id());
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// Makes an interrupt end every supervised process before this one.
pub(crate) fn kill_children_on_interrupt() -> Result<()> {
    ctrlc::set_handler(|| {
        for &id in live().iter() {
            kill_tree(id);
        }
        std::process::exit(130);
    })
    .context("cannot handle Ctrl-C")
}

/// "exit code 1", "killed by signal 9".
pub(crate) fn describe(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("killed by signal {signal}");
    }
    status.code().map_or_else(|| "no exit code".to_owned(), |code| format!("exit code {code}"))
}

/// The ids of the running children, for the interrupt handler: the only state that is not on a stack.
static LIVE: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn live() -> std::sync::MutexGuard<'static, BTreeSet<u32>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(unix)]
fn kill_tree(id: u32) {
    let group = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        // Fails if the whole group has ended already, which is fine.
        _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

#[cfg(not(unix))]
fn kill_tree(id: u32) {
    let mut command = Command::new("taskkill");
    command.args(["/T", "/F", "/PID", &id.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    drop(command.status());
}

/// Removes terminal colour sequences: `ESC [ ... letter`.
fn strip_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        if next == '\u{1b}' {
            chars.by_ref().skip(1).find(char::is_ascii_alphabetic);
        } else {
            plain.push(next);
        }
    }
    plain
}

const SLICE: Duration = Duration::from_millis(25);
const LINGER: Duration = Duration::from_secs(5);
const MOMENT: Duration = Duration::from_millis(100);
const TAIL_LINES: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_stripped() {
        assert_eq!(strip_colours("\u{1b}[1;31mERROR:\u{1b}[0m x"), "ERROR: x");
        assert_eq!(strip_colours("plain [0m"), "plain [0m");
    }

    #[cfg(unix)]
    #[test]
    fn lines_of_all_members_arrive_and_the_status_is_kept() {
        let mut group = Group::new("test", Duration::from_secs(60));
        for code in ["3", "0"] {
            let mut command = Command::new("sh");
            command.args(["-c", "echo out $1; echo err $1 >&2; exit $1", "sh", code]);
            group.spawn(code, command).expect("a shell starts");
        }
        let mut lines = Vec::new();
        while !group.all_done() {
            lines.extend(group.next_line(Duration::from_secs(5)).map(|(index, line)| (index, line.text)));
        }
        lines.sort();
        let expected = [(0, "err 3"), (0, "out 3"), (1, "err 0"), (1, "out 0")];
        assert_eq!(lines, expected.map(|(index, text)| (index, text.to_owned())));
        assert_eq!(group.status(0).and_then(|status| status.code()), Some(3));
        assert_eq!(group.status(1).and_then(|status| status.code()), Some(0));
    }

    #[cfg(unix)]
    #[test]
    fn killing_a_group_ends_its_grandchildren() {
        let mut group = Group::new("test", Duration::from_secs(60));
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & echo $!; wait"]);
        group.spawn("parent", command).expect("a shell starts");
        let (_, line) = group.next_line(Duration::from_secs(5)).expect("prints the id of its child");
        group.kill_all();
        let id = line.text.parse().ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
        let gone_by = Instant::now() + Duration::from_secs(5);
        while rustix::process::test_kill_process(id).is_ok() && !is_zombie(&line.text) {
            assert!(Instant::now() < gone_by, "the grandchild survived");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// In a container without an init process, nothing reaps an orphan, so a zombie counts as dead.
    #[cfg(unix)]
    fn is_zombie(id: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| stat.contains(") Z "))
    }
}
