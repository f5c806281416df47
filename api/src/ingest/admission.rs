//! How many publishers may wait at one time: as many as can be answered soon. One more is told to come later, so that those
//! who wait do not wait in vain.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many may always wait: a burst from many connections is no overload, however quiet it was before.
const WAITING_MIN: usize = 512;

/// Beyond that, as many as were lately stored in this time.
const WAIT_MAX: Duration = Duration::from_millis(400);

/// Over how long the rate is taken.
const SAMPLE: Duration = Duration::from_millis(200);

/// The gate before the queue.
pub(crate) struct Admission {
    waiting: AtomicUsize,
    waiting_max: AtomicUsize,
    sample: Mutex<Sample>,
}

struct Sample {
    since: Instant,
    stored: usize,
}

/// A publisher who waits; dropping it makes room.
pub(crate) struct Admitted<'a>(&'a Admission);

impl Admission {
    pub(crate) fn new() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            waiting_max: AtomicUsize::new(WAITING_MIN),
            sample: Mutex::new(Sample { since: Instant::now(), stored: 0 }),
        }
    }

    /// Lets a publisher in, unless too many wait.
    pub(crate) fn enter(&self) -> Option<Admitted<'_>> {
        let admitted = Admitted(self);
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        (before < self.waiting_max.load(Ordering::Relaxed)).then_some(admitted)
    }

    /// Notes events that were stored, from which follows how many may wait.
    pub(crate) fn note_stored(&self, count: usize, now: Instant) {
        let mut sample = self.sample.lock().unwrap_or_else(PoisonError::into_inner);
        sample.stored += count;
        let elapsed = now.saturating_duration_since(sample.since);
        if elapsed >= SAMPLE {
            let stored_in_wait = sample.stored as f64 * WAIT_MAX.as_secs_f64() / elapsed.as_secs_f64();
            self.waiting_max.store((stored_in_wait as usize).max(WAITING_MIN), Ordering::Relaxed);
            *sample = Sample { since: now, stored: 0 };
        }
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_wait_as_are_answered_soon_and_leaving_makes_room() {
        let admission = Admission::new();
        let mut inside: Vec<_> = (0..WAITING_MIN).map(|_| admission.enter().unwrap()).collect();
        assert!(admission.enter().is_none());
        inside.pop();
        assert!(admission.enter().is_some());

        let later = Instant::now() + Duration::from_secs(1);
        admission.note_stored(10_000, later);
        let more: Vec<_> = std::iter::from_fn(|| admission.enter()).collect();
        assert!(
            (3_000..4_000).contains(&more.len()),
            "0.4 s of 10,000 a second, less those inside: {}",
            more.len()
        );
        admission.note_stored(0, later + Duration::from_secs(1));
        assert!(admission.enter().is_none(), "nothing is stored: the least");
    }
}
