//! A thread that waits for notices gets all of them.

use std::time::Duration;

use loom::thread;

use crate::explore;
use crate::queue::NoticeQueue;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};

fn take(notices: &NoticeQueue<Vec<u32>>, got: &mut Vec<u32>) {
    notices.take(|list| got.append(list));
}

#[test]
fn nothing_is_missed_and_nobody_waits_in_vain() {
    explore(|| {
        let notices = Arc::new(NoticeQueue::default());
        let driver = thread::spawn({
            let notices = Arc::clone(&notices);
            move || {
                notices.push(|list: &mut Vec<u32>| list.push(0));
                notices.push(|list| list.push(1));
            }
        });
        let mut got = Vec::new();
        while got.len() < 2 {
            assert!(notices.wait(Duration::MAX));
            take(&notices, &mut got);
        }
        driver.join().expect("it only adds");
        assert_eq!(got, [0, 1]);
    });
}

#[test]
fn who_only_looks_in_finds_what_was_there_before() {
    explore(|| {
        let notices = Arc::new(NoticeQueue::default());
        let brought = Arc::new(AtomicBool::new(false));
        let driver = thread::spawn({
            let (notices, brought) = (Arc::clone(&notices), Arc::clone(&brought));
            move || {
                notices.push(|list: &mut Vec<u32>| list.push(0));
                brought.store(true, Ordering::Release);
                notices.push(|list| list.push(1));
            }
        });
        let seen = brought.load(Ordering::Acquire);
        let mut got = Vec::new();
        take(&notices, &mut got);
        assert!(!(seen && got.is_empty()), "it was there and was not found");
        driver.join().expect("it only adds");
        take(&notices, &mut got);
        assert_eq!(got, [0, 1]);
    });
}
