//! The database's time without asking the database each time.

use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How far the database's clock may be behind what was told and time only stands still until it has caught up. Further behind, it was set
/// back, or another server was promoted: who stood still until then would do nothing that is due for as long.
const STANDS_STILL_MAX: i64 = 5_000_000;

/// Schedules, leases and ids follow the database's clock, so that replicas whose own clocks disagree still
/// agree. This clock adds what a monotonic clock says has passed since the last reading of the database's.
///
/// Clones share one state. Reading costs a monotonic clock call and two atomics. Microseconds, as PostgreSQL.
#[derive(Debug, Clone)]
pub struct Clock {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    started: Instant,
    /// Microseconds from `started` (which is 0) to the Unix epoch's scale.
    offset: AtomicI64,
    /// The largest time ever told since the first reading of the database.
    told: AtomicI64,
    /// Whether `offset` comes from the database; stored after it.
    is_set: AtomicBool,
}

impl Clock {
    /// A clock that follows the system's until the first [`Clock::set`].
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: Arc::new(State {
                started: Instant::now(),
                offset: AtomicI64::new(micros(system_since_epoch())),
                told: AtomicI64::new(i64::MIN),
                is_set: AtomicBool::new(false),
            }),
        }
    }

    /// Takes a reading of the database's clock: `database_now` was read during the `round_trip` that ends
    /// now, and is taken for its middle, so the error is at most half of it.
    ///
    /// A reading that is some seconds behind what was already told does not turn time back: the clock stands still
    /// until the database has caught up. One that is further behind does, as does the first, from the system's clock.
    pub fn set(&self, database_now: DateTime<Utc>, round_trip: Duration) {
        let now = database_now.timestamp_micros().saturating_add(micros(round_trip / 2));
        let behind = self.state.told.load(Ordering::Acquire).saturating_sub(now);
        if behind > STANDS_STILL_MAX {
            tracing::warn!(
                seconds = behind / 1_000_000,
                "the database's clock was set back, and ours is with it"
            );
        }
        self.state.offset.store(now.saturating_sub(micros(self.state.started.elapsed())), Ordering::Release);
        self.state.is_set.store(true, Ordering::Release);
    }

    /// The database's time, to the microsecond. Less than what it told before only where the database's clock was set back.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        let is_set = self.state.is_set.load(Ordering::Acquire);
        let elapsed = micros(self.state.started.elapsed());
        let now = self.state.offset.load(Ordering::Acquire).saturating_add(elapsed);
        // The system's time is not remembered: it may be hours ahead, and the clock would stand still that long.
        let told = if is_set { self.state.told.fetch_max(now, Ordering::AcqRel) } else { now };
        let now = if told.saturating_sub(now) > STANDS_STILL_MAX {
            // Whoever read the offset of before may yet tell it; the next to ask sets this right again.
            self.state.told.store(now, Ordering::Release);
            now
        } else {
            now.max(told)
        };
        DateTime::from_timestamp_micros(now).unwrap_or(DateTime::UNIX_EPOCH)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// Unix seconds by the system's clock, for signatures only: receivers compare them with their own clock,
/// which knows nothing of our database.
#[must_use]
pub fn signing_now() -> i64 {
    i64::try_from(system_since_epoch().as_secs()).unwrap_or(i64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "this is where the clock is read for everyone")]
fn system_since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn it_is_the_systems_clock_until_the_database_was_asked() {
        let clock = Clock::new();
        assert!((clock.now().timestamp() - signing_now()).abs() <= 1);
        clock.set(at(1_000_000), Duration::from_millis(10));
        let now = clock.now();
        assert!(now >= at(1_000_000) + Duration::from_millis(5), "{now}");
        assert!(now < at(1_000_060), "{now}");
    }

    #[test]
    fn a_later_reading_that_is_behind_does_not_turn_time_back() {
        let clock = Clock::new();
        clock.set(at(2_000_000), Duration::ZERO);
        let before = clock.now();
        clock.set(at(1_999_996), Duration::ZERO);
        assert_eq!(clock.now(), before);
        clock.set(at(2_000_100), Duration::ZERO);
        assert!(clock.now() >= at(2_000_100));
    }

    #[test]
    fn a_clock_that_was_set_back_is_followed() {
        let clock = Clock::new();
        clock.set(at(2_000_000), Duration::ZERO);
        assert!(clock.now() >= at(2_000_000));
        clock.set(at(1_996_400), Duration::ZERO);
        let now = clock.now();
        assert!(now >= at(1_996_400) && now < at(1_996_460), "{now}");
        // From then on it goes as ever.
        clock.set(at(1_996_399), Duration::ZERO);
        assert!(clock.now() >= now);
    }

    #[test]
    fn threads_never_see_it_go_backwards() {
        let clock = Clock::new();
        clock.set(at(2_000_000), Duration::ZERO);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut last = clock.now();
                    for round in 0..10_000 {
                        if round % 100 == 0 {
                            clock.set(last - Duration::from_millis(1), Duration::ZERO);
                        }
                        let now = clock.now();
                        assert!(now >= last);
                        last = now;
                    }
                });
            }
        });
    }
}
