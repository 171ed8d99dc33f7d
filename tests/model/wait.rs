//! Who waits for news gets all of them.

use std::time::{Duration, Instant};

use loom::thread;

use crate::explore;
use crate::outlet::Outlet;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};

/// The model knows no time: a wait that nobody ends is reported as a deadlock.
fn for_ever() -> Instant {
    Instant::now() + Duration::from_secs(1 << 30)
}

fn take(outlet: &Outlet<Vec<u32>>, got: &mut Vec<u32>) {
    outlet.take(|list| got.append(list));
}

#[test]
fn nothing_is_missed_and_nobody_waits_in_vain() {
    explore(|| {
        let outlet = Arc::new(Outlet::default());
        let driver = thread::spawn({
            let outlet = Arc::clone(&outlet);
            move || {
                outlet.bring(|list: &mut Vec<u32>| list.push(0));
                outlet.bring(|list| list.push(1));
            }
        });
        let mut got = Vec::new();
        while got.len() < 2 {
            assert!(outlet.wait(for_ever()));
            take(&outlet, &mut got);
        }
        driver.join().expect("it only adds");
        assert_eq!(got, [0, 1]);
    });
}

#[test]
fn who_only_looks_in_finds_what_was_there_before() {
    explore(|| {
        let outlet = Arc::new(Outlet::default());
        let brought = Arc::new(AtomicBool::new(false));
        let driver = thread::spawn({
            let (outlet, brought) = (Arc::clone(&outlet), Arc::clone(&brought));
            move || {
                outlet.bring(|list: &mut Vec<u32>| list.push(0));
                brought.store(true, Ordering::Release);
                outlet.bring(|list| list.push(1));
            }
        });
        let seen = brought.load(Ordering::Acquire);
        let mut got = Vec::new();
        take(&outlet, &mut got);
        assert!(!(seen && got.is_empty()), "it was there and was not found");
        driver.join().expect("it only adds");
        take(&outlet, &mut got);
        assert_eq!(got, [0, 1]);
    });
}
