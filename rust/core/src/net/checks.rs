//! TLS handshakes whose certificate the platform verifies, on threads of their own: that may take seconds.
//!
//! Windows may query revocation lists over the network, and root certificates in files may be on a slow disk. The whole TLS state
//! moves to the thread and comes back with the result. Meanwhile the connection is neither read nor written, so no data of the game
//! is sent before the certificate is verified.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::base::ConnId;
use crate::channel::{Command, Mailbox};
use crate::tls::TlsSession;

/// Handshakes to be checked, and the threads that check them.
#[derive(Default)]
pub(super) struct Checks(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Check>,
    threads: usize,
}

/// A handshake that continues when its certificate has been verified.
pub(super) struct Check {
    pub(super) conn: ConnId,
    pub(super) session: Box<TlsSession>,
    pub(super) mailbox: Weak<Mailbox>,
}

impl Check {
    /// Returns whether the driver of the connection is still there.
    fn is_wanted(&self) -> bool {
        self.mailbox.strong_count() > 0
    }
}

impl Checks {
    /// Adds a check. Returns whether a thread has to be started for it.
    pub(super) fn add(&self, check: Check) -> bool {
        let mut inner = self.lock();
        // A game may retry in a loop while no check ends. Checks of drivers that are gone are dropped; each other driver has one.
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

    /// A thread could not be started. Returns the checks that no other thread will serve.
    pub(super) fn not_started(&self) -> VecDeque<Check> {
        let mut inner = self.lock();
        inner.threads -= 1;
        if inner.threads == 0 { std::mem::take(&mut inner.waiting) } else { VecDeque::new() }
    }

    /// Runs on each thread until no check is left.
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

/// Returns the body of a thread that serves the checks.
pub(super) fn start(checks: &Arc<Checks>) -> impl FnOnce() + Send + 'static {
    let checks = Arc::clone(checks);
    move || checks.work()
}

/// Checks that run at the same time in the whole process; further checks wait.
pub(crate) const CHECKS: usize = 16;
