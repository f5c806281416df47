//! How an endpoint has fared lately, and what that allows it: one that fails again and again is probed one attempt at a
//! time, and one that comes back is given more step by step, so that a long backlog does not fall on it at once.

/// Failures in a row after which an endpoint is only probed.
const FAILURES_MAX: u32 = 5;

/// What is known of an endpoint. Attempts for those that fail, or of which nothing is known, may fill only a part of the
/// worker, so that any number of dead endpoints leaves room for the living.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Its last attempt succeeded.
    Proven,
    /// Nothing yet, or it is just coming back.
    Unknown,
    /// It failed several times in a row.
    Failing,
}

impl Class {
    pub(super) const ALL: [Self; 3] = [Self::Proven, Self::Unknown, Self::Failing];

    /// How many of a worker's `concurrency` attempts all endpoints of this class together may have.
    pub(super) fn share_of(self, concurrency: usize) -> usize {
        match self {
            Self::Proven => concurrency,
            Self::Unknown => concurrency.div_ceil(2),
            Self::Failing => concurrency.div_ceil(4),
        }
    }
}

/// The class of one endpoint, and how many attempts it may have under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    class: Class,
    failures: u32,
    /// Attempts at one time, while fewer than the endpoint's cap: doubled by each success.
    window: Option<usize>,
}

impl Standing {
    /// Of an endpoint whose last known attempt failed, or did not.
    pub(super) fn new(is_failing: bool) -> Self {
        if is_failing {
            Self { class: Class::Failing, failures: FAILURES_MAX, window: Some(1) }
        } else {
            Self { class: Class::Unknown, failures: 0, window: None }
        }
    }

    pub(super) fn class(self) -> Class {
        self.class
    }

    /// How many attempts may be under way where `cap` are allowed at all.
    pub(super) fn window(self, cap: usize) -> usize {
        self.window.map_or(cap, |window| window.min(cap))
    }

    pub(super) fn note_success(&mut self, cap: usize) {
        self.failures = 0;
        self.window = self.window.map(|window| window * 2).filter(|window| *window < cap);
        self.class = if self.window.is_some() { Class::Unknown } else { Class::Proven };
    }

    pub(super) fn note_failure(&mut self) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES_MAX {
            self.class = Class::Failing;
            self.window = Some(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_failures_change_nothing_and_many_leave_one_probe_at_a_time() {
        let mut standing = Standing::new(false);
        standing.note_success(32);
        for _ in 1..FAILURES_MAX {
            standing.note_failure();
            assert_eq!((standing.class(), standing.window(32)), (Class::Proven, 32));
        }
        standing.note_failure();
        assert_eq!((standing.class(), standing.window(32)), (Class::Failing, 1));
    }

    #[test]
    fn an_endpoint_that_comes_back_is_given_more_step_by_step() {
        let mut standing = Standing::new(true);
        let mut windows = vec![standing.window(20)];
        while standing.class() != Class::Proven {
            standing.note_success(20);
            windows.push(standing.window(20));
        }
        assert_eq!(windows, [1, 2, 4, 8, 16, 20]);
    }

    #[test]
    fn the_dead_cannot_fill_a_worker() {
        assert_eq!(Class::ALL.map(|class| class.share_of(512)), [512, 256, 128]);
        assert_eq!(
            Class::ALL.map(|class| class.share_of(1)),
            [1, 1, 1],
            "the smallest worker serves everyone"
        );
    }
}
