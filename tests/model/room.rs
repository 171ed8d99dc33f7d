//! A peer's room is given once, given back once, and the whole process agrees.

use loom::thread;

use crate::budget::{Budget, QueueTotal};
use crate::explore;
use crate::sync::Arc;

/// Counts for the process in two steps.
const SIZE: usize = 2 * 4096;
const ALL: usize = 100 * 4096;

fn budget() -> (Arc<QueueTotal>, Arc<Budget>) {
    let total = Arc::new(QueueTotal::new(ALL));
    let budget = Arc::new(Budget::new(&total));
    (total, budget)
}

fn is_empty(total: &QueueTotal) -> bool {
    total.has_room(ALL) && !total.has_room(ALL + 1)
}

#[test]
fn two_threads_never_take_more_room_than_there_is() {
    explore(|| {
        let (total, budget) = budget();
        // The game's thread sends while the driver passes on another client's packet.
        let driver = thread::spawn({
            let budget = Arc::clone(&budget);
            move || budget.reserve(SIZE, SIZE, 10)
        });
        let game = budget.reserve(SIZE, SIZE, 10);
        let driver = driver.join().expect("it only counts");
        assert!(!(game && driver), "room for one was given to both");
        assert_eq!(budget.load().0, if game || driver { SIZE } else { 0 });
        drop(budget);
        assert!(is_empty(&total));
    });
}

#[test]
fn what_was_sent_gives_its_room_back_while_more_is_taken() {
    explore(|| {
        let (total, budget) = budget();
        assert!(budget.reserve(SIZE, ALL, 10));
        let driver = thread::spawn({
            let budget = Arc::clone(&budget);
            move || budget.release(SIZE, 1)
        });
        assert!(budget.reserve(100, ALL, 10));
        driver.join().expect("it only counts");
        assert_eq!(budget.load(), (100, 1));
        budget.release(100, 1);
        assert!(is_empty(&total));
    });
}

#[test]
fn a_connection_that_ends_while_the_game_sends_leaves_nothing_behind() {
    explore(|| {
        let (total, budget) = budget();
        assert!(budget.reserve(SIZE, ALL, 10));
        // The driver wrote one packet, then the connection ended; the game took room meanwhile and finds it closed.
        let driver = thread::spawn({
            let budget = Arc::clone(&budget);
            move || {
                budget.release(SIZE, 1);
                budget.clear();
            }
        });
        let _ = budget.reserve(SIZE, ALL, 10);
        budget.clear();
        driver.join().expect("it only counts");
        assert_eq!(budget.load(), (0, 0));
        assert!(is_empty(&total));
    });
}

#[test]
fn a_refused_reservation_gives_back_no_more_than_it_took() {
    explore(|| {
        let (total, budget) = budget();
        assert!(budget.reserve(SIZE, SIZE, 10));
        let driver = thread::spawn({
            let budget = Arc::clone(&budget);
            move || budget.clear()
        });
        // It may or may not fit, by what the driver has cleared.
        if budget.reserve(1, SIZE, 10) {
            budget.release(1, 1);
        }
        driver.join().expect("it only counts");
        budget.clear();
        assert_eq!(budget.load(), (0, 0));
        assert!(is_empty(&total));
    });
}

#[test]
#[should_panic(expected = "room for one was given to both")]
fn the_model_notices_a_look_before_the_reservation() {
    explore(|| {
        let (_total, budget) = budget();
        let careless = |budget: &Budget| {
            let free = budget.load().0 == 0;
            if free {
                budget.add(SIZE);
            }
            free
        };
        let driver = thread::spawn({
            let budget = Arc::clone(&budget);
            move || careless(&budget)
        });
        let game = careless(&budget);
        let driver = driver.join().expect("it only counts");
        assert!(!(game && driver), "room for one was given to both");
    });
}
