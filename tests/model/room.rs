//! A peer's room is given once, given back once, and the whole process agrees.

use loom::thread;

use crate::budget::{Budget, Charge, Counted, QueueTotal, Reservation};
use crate::explore;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};

/// Counts for the process in two steps.
const SIZE: usize = 2 * 4096;
const ALL: usize = 100 * 4096;

fn budget() -> Arc<Budget> {
    Arc::new(Budget::new())
}

fn counted() -> (Arc<QueueTotal>, Arc<Counted>) {
    let total = Arc::new(QueueTotal::new(ALL));
    let counted = Arc::new(Counted::new(&total));
    (total, counted)
}

fn is_empty(total: &QueueTotal) -> bool {
    total.has_room(ALL) && !total.has_room(ALL + 1)
}

#[test]
fn two_threads_never_take_more_room_than_there_is() {
    explore(|| {
        let budget = budget();
        // The game's thread sends while the driver passes on another client's packet.
        let driver = thread::spawn({
            let budget = Arc::clone(&budget);
            move || budget.reserve(SIZE, SIZE, 10)
        });
        let game = budget.reserve(SIZE, SIZE, 10);
        let driver = driver.join().expect("it only counts");
        assert!(!(game && driver), "room for one was given to both");
        assert_eq!(budget.load().0, if game || driver { SIZE } else { 0 });
    });
}

#[test]
fn what_was_sent_gives_its_room_back_while_more_is_taken() {
    explore(|| {
        let budget = budget();
        assert!(budget.reserve(SIZE, ALL, 10));
        let driver = thread::spawn({
            let budget = Arc::clone(&budget);
            move || budget.release(SIZE, 1)
        });
        assert!(budget.reserve(100, ALL, 10));
        driver.join().expect("it only counts");
        assert_eq!(budget.load(), (100, 1));
        budget.release(100, 1);
        assert_eq!(budget.load(), (0, 0));
    });
}

#[test]
fn a_refused_reservation_gives_back_no_more_than_it_took() {
    explore(|| {
        let budget = budget();
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
    });
}

/// The driver writes one packet, and then the connection ends: what both sides find in the end, if the game sends one meanwhile.
fn ends_while_the_game_sends(looks_again: bool) -> (Reservation, (usize, usize)) {
    let (budget, closed) = (budget(), Arc::new(AtomicBool::new(false)));
    assert!(budget.reserve(SIZE, ALL, 10));
    let driver = thread::spawn({
        let (budget, closed) = (Arc::clone(&budget), Arc::clone(&closed));
        move || {
            budget.release(SIZE, 1);
            closed.store(true, Ordering::Release);
            budget.clear();
        }
    });
    let is_closed = || looks_again && closed.load(Ordering::Acquire);
    let game = budget.reserve_open(SIZE, ALL, 10, is_closed);
    driver.join().expect("it only counts");
    (game, budget.load())
}

#[test]
fn a_connection_that_ends_while_the_game_sends_leaves_nothing_behind() {
    explore(|| {
        let (game, left) = ends_while_the_game_sends(true);
        assert_ne!(game, Reservation::Full);
        assert_eq!(left, (0, 0));
    });
}

#[test]
#[should_panic(expected = "nobody will release it")]
fn the_model_notices_a_game_that_does_not_look_again() {
    explore(|| {
        let (_, left) = ends_while_the_game_sends(false);
        assert_eq!(left, (0, 0), "nobody will release it");
    });
}

#[test]
fn what_the_game_takes_while_more_comes_in_counts_for_the_process_until_it_is_taken() {
    explore(|| {
        let (total, counted) = counted();
        counted.add(SIZE);
        let driver = thread::spawn({
            let counted = Arc::clone(&counted);
            move || counted.add(SIZE)
        });
        counted.release(SIZE, 1);
        driver.join().expect("it only counts");
        assert!(!total.has_room(ALL - SIZE + 1) && total.has_room(ALL - SIZE));
        counted.release(SIZE, 1);
        assert!(is_empty(&total));
    });
}

#[test]
fn a_peer_that_is_forgotten_while_more_comes_in_counts_no_more() {
    explore(|| {
        let (total, counted) = counted();
        counted.add(SIZE);
        let driver = thread::spawn({
            let counted = Arc::clone(&counted);
            move || {
                counted.add(100);
                // The connection has ended, and the game had closed it.
                counted.clear();
            }
        });
        counted.release(SIZE, 1);
        counted.clear();
        driver.join().expect("it only counts");
        drop(counted);
        assert!(is_empty(&total));
    });
}

#[test]
fn what_both_threads_hold_counts_until_neither_does() {
    explore(|| {
        let total = Arc::new(QueueTotal::new(ALL));
        let mut game = Charge::new(&total);
        game.follow(SIZE);
        // The driver has taken what the game listed, and copies it.
        let driver = thread::spawn({
            let total = Arc::clone(&total);
            move || {
                let mut queues = Charge::new(&total);
                drop(game);
                queues.set(SIZE + 100);
                queues.set(10);
                queues
            }
        });
        let mut next = Charge::new(&total);
        next.follow(SIZE);
        next.follow(SIZE + 1);
        let queues = driver.join().expect("it only counts");
        assert!(total.has_room(ALL - SIZE - 10) && !total.has_room(ALL - SIZE - 9));
        drop((next, queues));
        assert!(is_empty(&total));
    });
}

#[test]
#[should_panic(expected = "room for one was given to both")]
fn the_model_notices_a_look_before_the_reservation() {
    explore(|| {
        let budget = budget();
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
