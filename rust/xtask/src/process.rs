//! Child processes: several at once, their lines as they come, and no survivors.

use std::collections::{BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// One line that a process printed.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Since the start of the group.
    pub(crate) at: Duration,
    pub(crate) text: String,
}

/// Processes that are supervised together. Dropping the group kills what still runs, children included.
#[derive(Debug)]
pub(crate) struct Group {
    started: Instant,
    members: Vec<Member>,
    sender: Sender<Event>,
    receiver: Receiver<Event>,
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

enum Event {
    Line(usize, Line),
    Eof(usize),
}

impl Group {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = channel();
        Self { started: Instant::now(), members: Vec::new(), sender, receiver }
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
        let mut open_streams = 0;
        if let Some(stream) = child.stdout.take() {
            open_streams += 1;
            self.relay(index, stream);
        }
        if let Some(stream) = child.stderr.take() {
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

    /// Waits up to `wait` for the next line of any member. `None` says nothing about whether they still run.
    pub(crate) fn next_line(&mut self, wait: Duration) -> Option<(usize, Line)> {
        let deadline = Instant::now() + wait;
        loop {
            // Short slices, because the end of a process is found by asking for it.
            let slice = deadline.saturating_duration_since(Instant::now()).min(SLICE);
            match self.receiver.recv_timeout(slice) {
                Ok(Event::Line(index, line)) => {
                    let tail = &mut self.members[index].tail;
                    if tail.len() == TAIL_LINES {
                        tail.pop_front();
                    }
                    tail.push_back(line.clone());
                    return Some((index, line));
                }
                Ok(Event::Eof(index)) => self.members[index].open_streams -= 1,
                Err(_) => {}
            }
            self.reap();
            if Instant::now() >= deadline || self.all_done() {
                return None;
            }
        }
    }

    pub(crate) fn kill_all(&mut self) {
        for member in &mut self.members {
            if member.status.is_none() {
                kill_tree(member.child.id());
                // The tree is dead already, save on systems where only this call works.
                drop(member.child.kill());
                member.status = member.child.wait().ok();
            }
            live().remove(&member.child.id());
        }
    }

    /// Ends one member, children included; its last lines are still handed out.
    pub(crate) fn kill(&mut self, index: usize) {
        let member = &mut self.members[index];
        if member.status.is_none() {
            kill_tree(member.child.id());
            drop(member.child.kill());
        }
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn label(&self, index: usize) -> &str {
        &self.members[index].label
    }

    pub(crate) fn status(&self, index: usize) -> Option<ExitStatus> {
        self.members[index].status
    }

    pub(crate) fn tail(&self, index: usize) -> impl Iterator<Item = &Line> {
        self.members[index].tail.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// It has exited and everything it printed was handed out. A grandchild that keeps a pipe open is not waited for.
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
                if sender.send(Event::Line(index, Line { at: started.elapsed(), text })).is_err() {
                    return;
                }
            }
            // The group may be gone: nobody is interested then.
            drop(sender.send(Event::Eof(index)));
        });
    }

    fn reap(&mut self) {
        for member in &mut self.members {
            if member.status.is_none()
                && let Ok(Some(status)) = member.child.try_wait()
            {
                member.status = Some(status);
                member.exited_at = Some(Instant::now());
                // What it left behind must not outlive it.
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

/// Lets an interrupt end every supervised process before this one.
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
        // Fails when all of the group are gone, which is what we want.
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
const TAIL_LINES: usize = 400;

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
        let mut group = Group::new();
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
        let mut group = Group::new();
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

    /// Nobody may reap an orphan in a container without an init: dead is dead.
    #[cfg(unix)]
    fn is_zombie(id: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| stat.contains(") Z "))
    }
}
