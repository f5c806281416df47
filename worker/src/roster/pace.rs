//! An endpoint's rate: never more attempts started within any second than it allows.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The window over which a rate is counted.
const SECOND: Duration = Duration::from_secs(1);

/// The starts of the last second. Exact over any window, where a token bucket would let up to twice the rate through.
pub(super) struct Pace {
    per_second: usize,
    starts: VecDeque<Instant>,
    /// What another worker may have started before the lane came here is not known: nothing is started before this.
    not_before: Instant,
}

impl Pace {
    /// A pace of which the last second is unknown.
    pub(super) fn new(per_second: usize, now: Instant) -> Self {
        Self { per_second, starts: VecDeque::new(), not_before: now + SECOND }
    }

    pub(super) fn per_second(&self) -> usize {
        self.per_second
    }

    /// When the next attempt may start; now or earlier = at once.
    pub(super) fn next_at(&self) -> Instant {
        let full = self.starts.len() >= self.per_second;
        let oldest = self.starts.front().filter(|_| full).map(|start| *start + SECOND);
        oldest.map_or(self.not_before, |at| at.max(self.not_before))
    }

    /// Counts an attempt that starts.
    pub(super) fn note_start(&mut self, now: Instant) {
        if self.starts.len() >= self.per_second {
            self.starts.pop_front();
        }
        self.starts.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_second_holds_more_than_the_rate(rate in 1usize..20, gaps in prop::collection::vec(0u64..400, 1..200)) {
            let begin = Instant::now();
            let mut pace = Pace::new(rate, begin);
            let (mut now, mut starts) = (begin, Vec::new());
            for gap in gaps {
                now += Duration::from_millis(gap);
                if pace.next_at() <= now {
                    pace.note_start(now);
                    starts.push(now);
                }
            }
            prop_assert!(starts.first().is_none_or(|first| *first >= begin + SECOND));
            for (index, start) in starts.iter().enumerate() {
                let within = starts[index..].iter().filter(|later| **later < *start + SECOND).count();
                prop_assert!(within <= rate, "{within} within a second");
            }
        }
    }
}
