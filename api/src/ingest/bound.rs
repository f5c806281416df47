//! How many events may wait, by how fast the database takes them: a queue that is always short under any load.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::QUEUE_MAX;

/// How long the last in the queue waits, as far as can be foretold. Whoever would wait longer is refused at once.
const WAIT_MAX: Duration = Duration::from_millis(200);

/// However slow the database is, so many may wait: one statement's worth.
const ROOM_MIN: usize = 64;

/// What a statement costs beside its events, in events (measured): a small one tells by this how long a large one will take.
const STATEMENT_COST_EVENTS: usize = 10;

/// The share of the past in the mean: one slow statement among quick ones refuses nobody for long.
const PAST: u64 = 7;
const PRESENT: u64 = 1;

/// Shared by those who queue and the flusher that empties it.
pub(super) struct QueueBound {
    room: AtomicUsize,
    /// Nanoseconds that an event takes, the mean of late statements; written by the flusher only.
    event_ns: AtomicU64,
}

impl QueueBound {
    /// As if the database were fast: a burst may come first.
    pub(super) fn new() -> Self {
        Self { room: AtomicUsize::new(QUEUE_MAX), event_ns: 0.into() }
    }

    /// How many may wait.
    pub(super) fn room(&self) -> usize {
        self.room.load(Ordering::Relaxed)
    }

    /// Takes note of a statement, whatever came of it.
    pub(super) fn note(&self, events: usize, took: Duration) {
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let now_ns = took_ns / (events + STATEMENT_COST_EVENTS) as u64;
        let past_ns = self.event_ns.load(Ordering::Relaxed);
        let event_ns =
            if past_ns == 0 { now_ns } else { (past_ns * PAST + now_ns * PRESENT) / (PAST + PRESENT) };
        self.event_ns.store(event_ns, Ordering::Relaxed);
        let room = WAIT_MAX.as_nanos() / u128::from(event_ns.max(1));
        self.room
            .store(usize::try_from(room).unwrap_or(QUEUE_MAX).clamp(ROOM_MIN, QUEUE_MAX), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_database_has_room_for_a_burst_even_after_single_events() {
        let bound = QueueBound::new();
        for _ in 0..100 {
            bound.note(1, Duration::from_millis(1));
        }
        assert!(bound.room() >= 2_000, "{}", bound.room());
    }

    #[test]
    fn a_slow_database_makes_the_queue_short_and_a_fast_one_long_again() {
        let bound = QueueBound::new();
        for _ in 0..50 {
            bound.note(90, Duration::from_millis(100));
        }
        // A thousand a second: 200 of them wait 200 ms.
        assert!((150..=250).contains(&bound.room()), "{}", bound.room());
        for _ in 0..50 {
            bound.note(400, Duration::from_millis(10));
        }
        assert_eq!(bound.room(), QUEUE_MAX);
    }

    #[test]
    fn one_stall_is_forgotten_within_some_statements() {
        let bound = QueueBound::new();
        bound.note(50, Duration::from_millis(2));
        bound.note(50, Duration::from_millis(900));
        assert!(bound.room() < 500);
        for _ in 0..20 {
            bound.note(50, Duration::from_millis(2));
        }
        assert!(bound.room() > 800, "{}", bound.room());
    }
}
