//! A driver that sleeps misses no command.

use loom::thread;

use crate::explore;
use crate::queue::CommandQueue;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex};

/// A mailbox: the list, the poller's waker, which remembers one call, and the request to end.
struct Mailbox {
    commands: CommandQueue<Batch>,
    woken: AtomicBool,
    shutdown: Mutex<bool>,
}

/// Commands, and whether the driver is to have them.
#[derive(Default)]
struct Batch {
    list: Vec<u32>,
    is_due: bool,
}

/// The state of the driver's loop.
#[derive(Debug)]
struct Drive {
    got: Vec<u32>,
    /// The number of commands that each round took.
    rounds: Vec<usize>,
    /// The driver sleeps until the waker is called.
    asleep: bool,
    /// The driver has ended, as requested.
    ended: bool,
}

impl Mailbox {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            commands: CommandQueue::new(Batch::default()),
            woken: AtomicBool::new(false),
            shutdown: Mutex::new(false),
        })
    }

    fn command(&self, command: u32) {
        let push = |batch: &mut Batch| {
            batch.list.push(command);
            batch.is_due = true;
        };
        if self.commands.push(push) {
            self.wake();
        }
    }

    /// Queues two commands that the driver gets at once.
    fn together(&self, commands: [u32; 2]) {
        for command in commands {
            self.commands.hold(|batch| batch.list.push(command));
        }
        if self.commands.push(|batch| batch.is_due = true) {
            self.wake();
        }
    }

    /// Driver: takes what is due.
    fn take(&self) -> Vec<u32> {
        let mut taken = Vec::new();
        self.commands.take(|batch| {
            if std::mem::take(&mut batch.is_due) {
                taken.append(&mut batch.list);
            }
        });
        taken
    }

    fn shut_down(&self) {
        *self.shutdown.lock().expect("nobody panics with it") = true;
        if self.commands.force_wake() {
            self.wake();
        }
    }

    fn wake(&self) {
        // A plain store would let the model read an older value that the system's counter never shows again.
        self.woken.swap(true, Ordering::SeqCst);
    }

    /// Some rounds of the driver's loop; `looks`: it checks the list before it sleeps.
    fn drive(&self, looks: bool) -> Drive {
        let mut drive = Drive { got: Vec::new(), rounds: Vec::new(), asleep: false, ended: false };
        for _ in 0..2 {
            let sleeps = self.commands.may_sleep(|batch| batch.is_due) || !looks;
            if sleeps && !self.woken.swap(false, Ordering::SeqCst) {
                drive.asleep = true;
                return drive;
            }
            self.commands.awake();
            let taken = self.take();
            drive.rounds.push(taken.len());
            drive.got.extend(taken);
            if *self.shutdown.lock().expect("nobody panics with it") {
                drive.ended = true;
                return drive;
            }
        }
        drive
    }

    /// All threads are done: a driver that sleeps now would never wake up, unless the waker was called.
    fn check(&self, mut drive: Drive) -> Vec<u32> {
        let mut left = self.take();
        let shutdown = *self.shutdown.lock().expect("nobody panics with it");
        let wanted = !left.is_empty() || shutdown && !drive.ended;
        let sleeps = drive.asleep && !self.woken.swap(false, Ordering::SeqCst);
        assert!(!(sleeps && wanted), "the driver sleeps although it is wanted");
        drive.got.append(&mut left);
        drive.got
    }
}

#[test]
fn every_command_is_seen_and_those_of_one_thread_in_order() {
    explore(|| {
        let mailbox = Mailbox::new();
        let driver = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || mailbox.drive(true)
        });
        // As the thread that looks up a host name does.
        let resolver = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || mailbox.command(10)
        });
        mailbox.command(0);
        mailbox.command(1);
        resolver.join().expect("it only adds");
        let mut got = mailbox.check(driver.join().expect("it only takes"));
        assert_eq!(got.len(), 3);
        got.retain(|command| *command != 10);
        assert_eq!(got, [0, 1]);
    });
}

#[test]
fn commands_that_are_held_are_seen_at_once() {
    explore(|| {
        let mailbox = Mailbox::new();
        let driver = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || mailbox.drive(true)
        });
        mailbox.together([0, 1]);
        let drive = driver.join().expect("it only takes");
        assert!(!drive.rounds.contains(&1), "one came without the other");
        assert_eq!(mailbox.check(drive), [0, 1]);
    });
}

#[test]
fn a_driver_that_sleeps_hears_of_the_shutdown() {
    explore(|| {
        let mailbox = Mailbox::new();
        let driver = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || mailbox.drive(true)
        });
        let game = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || mailbox.command(1)
        });
        mailbox.shut_down();
        game.join().expect("it only adds");
        assert_eq!(mailbox.check(driver.join().expect("it only takes")), [1]);
    });
}

#[test]
#[should_panic(expected = "sleeps although it is wanted")]
fn the_model_notices_a_driver_that_sleeps_without_a_last_look() {
    explore(|| {
        let mailbox = Mailbox::new();
        let driver = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || mailbox.drive(false)
        });
        mailbox.command(0);
        mailbox.check(driver.join().expect("it only takes"));
    });
}
