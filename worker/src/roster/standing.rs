//! How an endpoint has fared lately, and what that allows it. One that fails too often is left alone for a while and then
//! probed, one attempt at a time (a circuit breaker); one that comes back is given more step by step, so that a long backlog
//! does not fall on it at once.

use std::time::{Duration, Instant};

/// What counts as lately.
const LATELY: Duration = Duration::from_secs(300);

/// With fewer attempts nothing is concluded.
const ATTEMPTS_MIN: u32 = 10;

/// From this share of failures on, in percent, the breaker opens.
const FAILED_PERCENT: u32 = 70;

/// How long an open breaker lets nothing through before it lets a probe.
const OPEN_FOR: Duration = Duration::from_secs(30);

/// [`LATELY`] is counted in so many parts; the oldest is forgotten when a new one begins.
const PARTS: usize = 10;

/// What is known of an endpoint. Attempts for those that fail, or of which nothing is known, may fill only a part of the
/// worker, so that any number of dead endpoints leaves room for the living.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// It has succeeded, and not failed too often since.
    Proven,
    /// Nothing yet, or it is just coming back.
    Unknown,
    /// It failed too often.
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

/// Where a circuit breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BreakerState {
    Closed,
    /// It lets one attempt at a time through.
    HalfOpen,
    Open,
}

/// The class of one endpoint, and how many attempts it may have under way.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    class: Class,
    /// Attempts at one time, while fewer than the endpoint's cap: doubled by each success.
    window: Option<usize>,
    /// When the breaker last opened here.
    opened_at: Option<Instant>,
    open_until: Option<Instant>,
    tally: Tally,
}

impl Standing {
    /// Of an endpoint that nobody knows yet.
    pub(super) fn unknown() -> Self {
        let (opened_at, open_until, tally) = (None, None, Tally::default());
        Self { class: Class::Unknown, window: None, opened_at, open_until, tally }
    }

    /// Of an endpoint that is loaded for the first time. A breaker that somebody opened stays open for as long as was written
    /// down, which is never longer than it would here, and what was open and not closed (zero) is probed: neither a restart nor
    /// a new owner forgets a breaker, and neither makes one of a single failure.
    pub(super) fn loaded(open_for: Option<Duration>, now: Instant) -> Self {
        let Some(wait) = open_for else { return Self::unknown() };
        let open_until = Some(now + wait.min(OPEN_FOR));
        Self { class: Class::Failing, window: Some(1), open_until, ..Self::unknown() }
    }

    pub(super) fn class(&self) -> Class {
        self.class
    }

    /// How many attempts may be under way where `cap` are allowed at all.
    pub(super) fn window(&self, cap: usize) -> usize {
        self.window.map_or(cap, |window| window.min(cap))
    }

    /// How long the breaker stays open; `None` = it is closed, or lets a probe through.
    pub(super) fn open_for(&self, now: Instant) -> Option<Duration> {
        self.open_until.map(|until| until.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// Where its breaker stands.
    pub(super) fn breaker(&self, now: Instant) -> BreakerState {
        match self.open_for(now) {
            Some(_) => BreakerState::Open,
            None if self.class == Class::Failing => BreakerState::HalfOpen,
            None => BreakerState::Closed,
        }
    }

    /// Tells whether that closed the breaker. An attempt that began before it opened tells nothing of how the endpoint fares
    /// since: only a probe, or a retry by hand, closes it.
    pub(super) fn note_success(&mut self, cap: usize, began: Instant, now: Instant) -> bool {
        let closes = self.class == Class::Failing;
        if closes && self.opened_at.is_some_and(|opened_at| began <= opened_at) {
            self.tally.count(false, now);
            return false;
        }
        if closes {
            self.tally = Tally::default();
            self.open_until = None;
        }
        self.tally.count(false, now);
        self.window = self.window.map(|window| window * 2).filter(|window| *window < cap);
        self.class = if self.window.is_some() { Class::Unknown } else { Class::Proven };
        closes
    }

    /// Tells whether that opened the breaker.
    pub(super) fn note_failure(&mut self, now: Instant) -> bool {
        self.tally.count(true, now);
        let was_probe = self.class == Class::Failing && self.open_for(now).is_none();
        if !was_probe && !self.tally.is_bad() {
            return false;
        }
        self.class = Class::Failing;
        self.window = Some(1);
        // Those that were under way when it opened do not keep it open for longer.
        let opens = self.open_for(now).is_none();
        if opens {
            (self.opened_at, self.open_until) = (Some(now), Some(now + OPEN_FOR));
        }
        opens
    }
}

/// Attempts and failures of the last five minutes.
#[derive(Debug, Clone, Default)]
struct Tally {
    parts: [(u32, u32); PARTS],
    /// When the newest part, which is the first, began.
    since: Option<Instant>,
}

impl Tally {
    fn count(&mut self, failed: bool, now: Instant) {
        let width = LATELY / PARTS as u32;
        let age = now.saturating_duration_since(*self.since.get_or_insert(now));
        let shift = (age.as_millis() / width.as_millis()).min(PARTS as u128) as usize;
        if shift > 0 {
            self.parts.rotate_right(shift % PARTS);
            self.parts[..shift].fill((0, 0));
            self.since = Some(now);
        }
        let (attempts, failures) = &mut self.parts[0];
        *attempts += 1;
        *failures += u32::from(failed);
    }

    fn is_bad(&self) -> bool {
        let attempts: u32 = self.parts.iter().map(|part| part.0).sum();
        let failures: u32 = self.parts.iter().map(|part| part.1).sum();
        attempts >= ATTEMPTS_MIN && failures * 100 >= attempts * FAILED_PERCENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(times: u32, now: Instant) -> Standing {
        let mut standing = Standing::unknown();
        for _ in 0..times {
            standing.note_failure(now);
        }
        standing
    }

    #[test]
    fn what_opened_and_closed_it_is_told_once() {
        let now = Instant::now();
        let mut standing = Standing::unknown();
        let told: Vec<bool> = (0..12).map(|_| standing.note_failure(now)).collect();
        assert_eq!(told.iter().filter(|told| **told).count(), 1);
        assert!(told[9], "the tenth failure opens it");
        let probed = now + OPEN_FOR;
        assert!(standing.note_success(32, probed, probed));
        assert!(!standing.note_success(32, probed, probed));
    }

    #[test]
    fn what_began_before_a_breaker_opened_does_not_close_it() {
        let began = Instant::now();
        let opened = began + Duration::from_secs(1);
        let mut standing = failed(10, opened);
        let later = opened + Duration::from_secs(1);
        assert!(!standing.note_success(32, began, later));
        assert_eq!((standing.breaker(later), standing.window(32)), (BreakerState::Open, 1));
        // Retried by hand meanwhile, and it works again.
        assert!(standing.note_success(32, later, later));
        assert_eq!(standing.breaker(later), BreakerState::Closed);
    }

    #[test]
    fn what_is_loaded_open_stays_open_then_is_probed() {
        let now = Instant::now();
        let standing = Standing::loaded(Some(Duration::from_secs(7)), now);
        assert_eq!((standing.class(), standing.window(32)), (Class::Failing, 1));
        assert_eq!(standing.open_for(now), Some(Duration::from_secs(7)));
        assert_eq!(standing.open_for(now + Duration::from_secs(7)), None);
        // A clock gone wrong cannot close an endpoint off.
        let far = Standing::loaded(Some(Duration::from_secs(86_400)), now);
        assert_eq!((far.class(), far.open_for(now)), (Class::Failing, Some(OPEN_FOR)));
        // What was open and never closed is probed; what only failed last is not taken for broken.
        let ended = Standing::loaded(Some(Duration::ZERO), now);
        assert_eq!((ended.breaker(now), ended.window(32)), (BreakerState::HalfOpen, 1));
        assert_eq!(Standing::loaded(None, now).class(), Class::Unknown);
    }

    #[test]
    fn ten_attempts_of_which_seven_failed_open_it() {
        let now = Instant::now();
        assert_eq!(failed(9, now).class(), Class::Unknown);
        let standing = failed(10, now);
        assert_eq!((standing.class(), standing.window(32)), (Class::Failing, 1));
        assert_eq!(standing.open_for(now), Some(OPEN_FOR));

        for (failures, opens) in [(6, false), (7, true)] {
            let mut standing = Standing::unknown();
            for number in 0..10 {
                let _ = if number < 10 - failures {
                    standing.note_success(32, now, now)
                } else {
                    standing.note_failure(now)
                };
            }
            assert_eq!(standing.class() == Class::Failing, opens, "{failures} of 10");
        }
    }

    #[test]
    fn failures_of_long_ago_are_forgotten() {
        let now = Instant::now();
        let mut standing = failed(9, now);
        standing.note_failure(now + LATELY + Duration::from_secs(1));
        assert_eq!(standing.class(), Class::Unknown);
    }

    #[test]
    fn a_probe_that_fails_opens_it_again_and_what_was_under_way_does_not() {
        let now = Instant::now();
        let mut standing = failed(10, now);
        let later = now + Duration::from_secs(29);
        standing.note_failure(later);
        assert_eq!(standing.open_for(later), Some(Duration::from_secs(1)));
        let probed = now + OPEN_FOR;
        assert_eq!(standing.open_for(probed), None);
        standing.note_failure(probed);
        assert_eq!(standing.open_for(probed), Some(OPEN_FOR));
    }

    #[test]
    fn an_endpoint_that_comes_back_is_given_more_step_by_step() {
        let now = Instant::now();
        let mut standing = Standing::loaded(Some(Duration::ZERO), now);
        let mut windows = vec![standing.window(20)];
        while standing.class() != Class::Proven {
            standing.note_success(20, now, now);
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
