//! The faults of a connection.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

use super::proxy::{Fault, Weather, When};

/// Returns the conditions of a connection and its faults within this time: only small delays, unless it is `bad`.
pub(super) fn forecast(random: &mut SmallRng, bad: bool, time: Duration) -> (Weather, Vec<(When, Fault)>) {
    let longest = if bad { random.random_range(1..60) } else { 4 };
    let weather = Weather {
        delay: Duration::from_millis(0)..Duration::from_millis(longest),
        piece: [3, 60, 4096, 4096, 4096][random.random_range(0..5)],
        window: if bad { random.random_range(100..4000) } else { 65_536 },
    };
    let count = if bad { random.random_range(1..=3) } else { 0 };
    (weather, (0..count).map(|_| (when(random, time), fault(random))).collect())
}

fn when(random: &mut SmallRng, time: Duration) -> When {
    if random.random_ratio(1, 2) {
        When::After(random.random_range(Duration::ZERO..time))
    } else {
        When::Passed(random.random_range(0..2), random.random_range(0..4000))
    }
}

fn fault(random: &mut SmallRng) -> Fault {
    let way = random.random_range(0..2);
    match random.random_range(0..12) {
        0..=2 => Fault::Stall(way, Duration::from_millis(random.random_range(20..900))),
        3 => Fault::Stall(way, Duration::from_secs(20)),
        4..=6 => Fault::Throttle(way, random.random_range(50..8000)),
        7 => Fault::Silence,
        8 => Fault::HalfClose(way),
        9 => Fault::Cut,
        _ => Fault::Reset,
    }
}
