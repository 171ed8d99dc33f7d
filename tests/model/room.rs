//! The room of a peer is reserved once and released once, and the total of the process agrees.

use loom::thread;

use crate::backpressure::{InputLimits, InputQueue, OutputLimits, OutputQueue, Reservation, WhenFull};
use crate::budget::{Budget, Charge, Counted, QueueTotal};
use crate::explore;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};

/// A limit of the process that is counted in two steps.
const SIZE: usize = 2 * 4096;
const ALL: usize = 100 * 4096;

fn queue() -> Arc<OutputQueue> {
    Arc::new(OutputQueue::new())
}

/// Reserves room for a packet in a queue of this size.
fn reserve(queue: &OutputQueue, size: usize, most: usize, is_closed: impl FnOnce() -> bool) -> Reservation {
    let limits =
        OutputLimits { bytes: most, packets: 10, burst_bytes: most, burst_packets: 10, droppable_bytes: 0 };
    queue.reserve(size, WhenFull::Refuse, &limits, || true, is_closed)
}

/// The same for a connection that stays open.
fn take(queue: &OutputQueue, size: usize, most: usize) -> bool {
    reserve(queue, size, most, || false) == Reservation::Taken
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
        let queue = queue();
        // The game's thread sends while the driver relays a packet of another client.
        let driver = thread::spawn({
            let queue = Arc::clone(&queue);
            move || take(&queue, SIZE, SIZE)
        });
        let game = take(&queue, SIZE, SIZE);
        let driver = driver.join().expect("it only counts");
        assert!(!(game && driver), "room for one was given to both");
        assert_eq!(queue.load().0, if game || driver { SIZE } else { 0 });
    });
}

#[test]
fn what_was_sent_gives_its_room_back_while_more_is_taken() {
    explore(|| {
        let queue = queue();
        assert!(take(&queue, SIZE, ALL));
        let driver = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.release(SIZE, 1)
        });
        assert!(take(&queue, 100, ALL));
        driver.join().expect("it only counts");
        assert_eq!(queue.load(), (100, 1));
        queue.release(100, 1);
        assert_eq!(queue.load(), (0, 0));
    });
}

#[test]
fn a_refused_reservation_gives_back_no_more_than_it_took() {
    explore(|| {
        let queue = queue();
        assert!(take(&queue, SIZE, SIZE));
        let driver = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.clear()
        });
        // Whether it fits depends on what the driver has cleared.
        if take(&queue, 1, SIZE) {
            queue.release(1, 1);
        }
        driver.join().expect("it only counts");
        queue.clear();
        assert_eq!(queue.load(), (0, 0));
    });
}

/// The driver writes one packet, and then the connection ends, while the game sends another one. Returns the final state on both sides.
fn ends_while_the_game_sends(looks_again: bool) -> (Reservation, (usize, usize)) {
    let (queue, closed) = (queue(), Arc::new(AtomicBool::new(false)));
    assert!(take(&queue, SIZE, ALL));
    let driver = thread::spawn({
        let (queue, closed) = (Arc::clone(&queue), Arc::clone(&closed));
        move || {
            queue.release(SIZE, 1);
            closed.store(true, Ordering::Release);
            queue.clear();
        }
    });
    let is_closed = || looks_again && closed.load(Ordering::Acquire);
    let game = reserve(&queue, SIZE, ALL, is_closed);
    driver.join().expect("it only counts");
    (game, queue.load())
}

#[test]
fn a_connection_that_ends_while_the_game_sends_leaves_nothing_behind() {
    explore(|| {
        let (game, left) = ends_while_the_game_sends(true);
        assert_ne!(game, Reservation::Refused);
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
        counted.add(SIZE, 1);
        let driver = thread::spawn({
            let counted = Arc::clone(&counted);
            move || counted.add(SIZE, 1)
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
        counted.add(SIZE, 1);
        let driver = thread::spawn({
            let counted = Arc::clone(&counted);
            move || {
                counted.add(100, 1);
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

/// The driver has a packet without room while the game takes the waiting ones. Returns whether the driver is told to resume.
fn reads_on(pauses: impl Fn(&InputQueue, &InputLimits) -> bool + Send + 'static) -> bool {
    const LIMITS: InputLimits = InputLimits { bytes: 2 * SIZE, packets: 10 };
    let queue = Arc::new(InputQueue::new(&Arc::new(QueueTotal::new(ALL))));
    queue.add(SIZE);
    queue.add(SIZE);
    let driver = thread::spawn({
        let queue = Arc::clone(&queue);
        move || pauses(&queue, &LIMITS)
    });
    let first = queue.release(SIZE, 1, &LIMITS);
    let second = queue.release(SIZE, 1, &LIMITS);
    let paused = driver.join().expect("it only counts");
    assert!(!(first && second), "it is told twice");
    !paused || first || second
}

#[test]
fn a_peer_that_is_not_read_for_want_of_room_is_read_on() {
    explore(|| {
        let pauses = |queue: &InputQueue, limits: &InputLimits| !queue.has_room_or_pauses(SIZE, 1, limits);
        assert!(reads_on(pauses), "nobody will read it any more");
    });
}

#[test]
#[should_panic(expected = "nobody will read it any more")]
fn the_model_notices_a_driver_that_pauses_without_a_last_look() {
    explore(|| {
        let pauses = |queue: &InputQueue, limits: &InputLimits| {
            let full = !queue.has_room(SIZE, 1, limits);
            if full {
                queue.pause();
            }
            full
        };
        assert!(reads_on(pauses), "nobody will read it any more");
    });
}

#[test]
fn what_both_threads_hold_counts_until_neither_does() {
    explore(|| {
        let total = Arc::new(QueueTotal::new(ALL));
        let mut game = Charge::new(&total);
        game.follow(SIZE);
        // The driver has taken the game's list, and copies it.
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
        let budget = Arc::new(Budget::new());
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
