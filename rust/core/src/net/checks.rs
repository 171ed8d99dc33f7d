//! Handshakes of TLS whose certificate the platform has to judge: on threads of their own, because that may take seconds.
//!
//! Windows may ask the network who has revoked what, and where the roots are in files, somebody may have put them far away. The
//! whole state of TLS goes to the thread and comes back with what became of it. Meanwhile its connection is neither read nor
//! written: nothing of the game's leaves before the verdict.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::base::ConnId;
use crate::channel::{Command, Mailbox};
use crate::tls::TlsSession;

/// What is to be checked, and the threads that do it.
#[derive(Default)]
pub(super) struct Checks(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Check>,
    threads: usize,
}

/// A handshake that goes on when a certificate in it was looked at.
pub(super) struct Check {
    pub(super) conn: ConnId,
    pub(super) session: Box<TlsSession>,
    pub(super) mailbox: Weak<Mailbox>,
}

impl Check {
    /// Says whether anybody waits for it: its driver may be gone.
    fn is_wanted(&self) -> bool {
        self.mailbox.strong_count() > 0
    }
}

impl Checks {
    /// Adds one; says whether a thread has to be started for it.
    pub(super) fn add(&self, check: Check) -> bool {
        let mut inner = self.lock();
        // A game may try again and again while nothing comes back. Of a driver that is there, one check waits at most.
        let all = std::mem::take(&mut inner.waiting).into_iter();
        let (mut wanted, gone): (VecDeque<_>, _) = all.partition(Check::is_wanted);
        wanted.push_back(check);
        inner.waiting = wanted;
        let needed = inner.threads < CHECKS;
        if needed {
            inner.threads += 1;
        }
        drop(inner);
        drop(gone);
        needed
    }

    /// A thread could not be started. Those whom another one serves are not concerned.
    pub(super) fn not_started(&self) -> VecDeque<Check> {
        let mut inner = self.lock();
        inner.threads -= 1;
        if inner.threads == 0 { std::mem::take(&mut inner.waiting) } else { VecDeque::new() }
    }

    /// What each thread does, until nothing is left.
    pub(super) fn work(&self) {
        while let Some(check) = self.next() {
            if !check.is_wanted() {
                continue;
            }
            let Check { conn, mut session, mailbox } = check;
            let done = panic::catch_unwind(AssertUnwindSafe(|| session.check())).is_ok();
            if let Some(mailbox) = mailbox.upgrade() {
                mailbox.command(Command::Checked { conn, session: done.then_some(session) });
            }
        }
    }

    fn next(&self) -> Option<Check> {
        let mut inner = self.lock();
        let check = inner.waiting.pop_front();
        if check.is_none() {
            inner.threads -= 1;
        }
        check
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a thread for what is added.
pub(super) fn start(checks: &Arc<Checks>) -> impl FnOnce() + Send + 'static {
    let checks = Arc::clone(checks);
    move || checks.work()
}

/// Checks at once in the whole process; more of them wait.
pub(crate) const CHECKS: usize = 16;
