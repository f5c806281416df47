//! What is wrong for every attempt is logged now and then, not at each.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const TOLD_EVERY: Duration = Duration::from_secs(10);

/// When one thing was last told of.
#[derive(Default)]
pub(super) struct Told(Mutex<Option<Instant>>);

impl Told {
    /// Whether it is time to tell of it, which is taken as done.
    pub(super) fn is_due(&self) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = told.is_none_or(|last| last.elapsed() >= TOLD_EVERY);
        if is_due {
            *told = Some(Instant::now());
        }
        is_due
    }
}
