//! What the recorder could not do at once because somebody else holds a row of it: outcomes whose delivery is locked, and lines
//! with whose key somebody publishes.

use std::collections::BTreeSet;

use tokio::time::Instant;
use trunkline_store::events::ordering::Line;

use crate::attempt::Ended;
use crate::metrics::METRICS;

/// Outcomes that wait for somebody's lock. It bounds memory; of what is beyond it the lease brings the delivery back.
const OUTCOMES_MAX: usize = 2_048;

/// Lines that wait for somebody's lock. What is beyond it is let go by upkeep, within a minute.
const LINES_MAX: usize = 1_000;

pub(super) struct Later {
    pub(super) outcomes: Vec<Ended>,
    pub(super) lines: BTreeSet<Line>,
    /// When to try again.
    pub(super) at: Instant,
}

impl Default for Later {
    fn default() -> Self {
        Self { outcomes: Vec::new(), lines: BTreeSet::new(), at: Instant::now() }
    }
}

impl Later {
    pub(super) fn is_empty(&self) -> bool {
        self.outcomes.is_empty() && self.lines.is_empty()
    }

    pub(super) fn is_due(&self) -> bool {
        !self.is_empty() && Instant::now() >= self.at
    }

    pub(super) fn take(&mut self, one: Ended) {
        if self.outcomes.len() < OUTCOMES_MAX {
            self.outcomes.push(one);
        } else {
            METRICS.leases_lost.increment(1);
        }
    }

    pub(super) fn take_outcomes(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.outcomes)
    }

    pub(super) fn take_lines(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.lines).into_iter().take(LINES_MAX).collect()
    }
}
