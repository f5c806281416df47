//! When each request is to be sent, and when no more are.

use std::time::Duration;

use super::{Order, Pace, Until};
use crate::clock::nanoseconds;

/// The schedule of an order.
pub(super) struct Schedule {
    start_ns: u64,
    warm_up_ns: u64,
    pace: Pace,
    until: Until,
}

impl Schedule {
    pub(super) fn new(order: &Order, start_ns: u64) -> Self {
        let warm_up_ns = nanoseconds(order.warm_up_seconds);
        Self { start_ns, warm_up_ns, pace: order.pace, until: order.until }
    }

    /// Where counting begins.
    pub(super) fn counts_from_ns(&self) -> u64 {
        self.start_ns + self.warm_up_ns
    }

    /// Where counting ends, if time ends it.
    pub(super) fn counts_until_ns(&self) -> Option<u64> {
        match self.until {
            Until::Requests(_) => None,
            Until::Seconds(seconds) => Some(self.counts_from_ns() + nanoseconds(seconds)),
        }
    }

    /// From when on the request with this number, from 0, may be sent; `None` if it never is.
    pub(super) fn due_ns(&self, number: u64, now_ns: u64) -> Option<u64> {
        let due = match self.pace {
            Pace::AsFastAsAnswered => now_ns,
            Pace::PerSecond(rate) => self.start_ns + nanoseconds(number as f64 / rate),
        };
        let is_wanted = match self.until {
            Until::Requests(requests) => number < requests,
            Until::Seconds(_) => self.counts_until_ns().is_some_and(|end| due < end && now_ns < end),
        };
        is_wanted.then_some(due)
    }
}

/// How long until then. `epoll` counts in milliseconds and mio rounds up, so a request can be a millisecond late, which
/// its latency shows.
pub(super) fn wait(due_ns: u64, now_ns: u64) -> Duration {
    Duration::from_nanos(due_ns.saturating_sub(now_ns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Body;

    fn schedule(pace: Pace, until: Until) -> Schedule {
        let order = Order {
            targets: Vec::new(),
            path: String::new(),
            keys: Vec::new(),
            body: Body::Event { bytes: 64 },
            connections: 1,
            pace,
            until,
            warm_up_seconds: 1.0,
            ledger: None,
        };
        Schedule::new(&order, 0)
    }

    #[test]
    fn a_rate_is_kept_whatever_the_answers_do() {
        let schedule = schedule(Pace::PerSecond(1_000.0), Until::Seconds(1.0));
        assert_eq!(schedule.due_ns(1_500, 0), Some(1_500_000_000));
        assert_eq!(schedule.due_ns(1_500, 1_900_000_000), Some(1_500_000_000), "late, but still sent");
        assert_eq!(schedule.due_ns(2_000, 0), None, "after the warm-up and one second it is over");
        assert_eq!(schedule.due_ns(1_500, 2_000_000_000), None);
    }

    #[test]
    fn a_closed_loop_sends_at_once_and_stops_in_time() {
        let by_number = schedule(Pace::AsFastAsAnswered, Until::Requests(2));
        assert_eq!(by_number.due_ns(1, 7), Some(7));
        assert_eq!(by_number.due_ns(2, 7), None);
    }
}
