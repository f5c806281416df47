//! How many events a tenant may publish: a token bucket each, in this process's memory. With several processes a tenant
//! gets its rate from each of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::sync::Cache;
use trunkline_domain::TenantId;
use trunkline_store::api_keys::KeyOwner;

/// A bucket unused for so long is full again and can be forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// Tenants that are counted at one time.
const TENANTS_MAX: u64 = 100_000;

/// The buckets.
pub(crate) struct Rates {
    per_second: u32,
    burst: u32,
    buckets: Cache<TenantId, Arc<Mutex<Bucket>>>,
}

struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

/// What the caller is told of its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Events it may publish at once.
    pub(crate) burst: u32,
    /// Seconds in which an empty bucket fills.
    pub(crate) window_seconds: u64,
    /// Events it may publish now.
    pub(crate) remaining: u32,
    /// Seconds until there is room for one more; 0 = there is.
    pub(crate) wait_seconds: u64,
    /// Whether this event is within the rate.
    pub(crate) is_granted: bool,
}

impl Rates {
    /// The rates of tenants that have none of their own; 0 of either = no limit.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let buckets = Cache::builder().max_capacity(TENANTS_MAX).time_to_idle(FORGOTTEN_AFTER).build();
        Self { per_second, burst, buckets }
    }

    /// Takes that many events of a tenant's allowance, all or none; `None` where it has no limit.
    ///
    /// More than the burst would never be granted: a full bucket grants it then, and owes the rest.
    pub(crate) fn take(&self, owner: &KeyOwner, events: u32) -> Option<Allowance> {
        let per_second = owner.rate_per_second.unwrap_or(self.per_second);
        let burst = owner.burst.unwrap_or(self.burst);
        if per_second == 0 || burst == 0 {
            return None;
        }
        let now = Instant::now();
        let full = || Arc::new(Mutex::new(Bucket { tokens: f64::from(burst), filled_at: now }));
        let bucket = self.buckets.get_with(owner.tenant_id.clone(), full);
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        Some(bucket.take(f64::from(events), f64::from(per_second), burst, now))
    }
}

impl Bucket {
    fn take(&mut self, events: f64, per_second: f64, burst: u32, now: Instant) -> Allowance {
        let elapsed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * per_second).min(f64::from(burst));
        self.filled_at = now;
        let needed = events.min(f64::from(burst));
        let is_granted = self.tokens >= needed;
        if is_granted {
            self.tokens -= events;
        }
        // Granted: when there is room for one more. Refused: when there is room for these.
        let next = if is_granted { 1.0 } else { needed };
        let wait = if self.tokens >= next { 0.0 } else { (next - self.tokens) / per_second };
        Allowance {
            burst,
            window_seconds: (f64::from(burst) / per_second).ceil() as u64,
            remaining: self.tokens as u32,
            wait_seconds: wait.ceil() as u64,
            is_granted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_fills_at_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket { tokens: 3.0, filled_at: start };
        let mut take = |after: u64| bucket.take(1.0, 2.0, 3, start + Duration::from_millis(after));
        assert_eq!(
            [take(0), take(0), take(0)].map(|one| (one.is_granted, one.remaining)),
            [(true, 2), (true, 1), (true, 0)]
        );
        let refused = take(0);
        assert_eq!((refused.is_granted, refused.wait_seconds, refused.window_seconds), (false, 1, 2));
        assert!(!take(499).is_granted);
        assert!(take(500).is_granted);
        assert_eq!(take(60_000).remaining, 2, "it holds no more than its burst");
    }

    #[test]
    fn many_at_once_are_all_granted_or_none_and_a_full_bucket_may_owe_some() {
        let start = Instant::now();
        let mut bucket = Bucket { tokens: 3.0, filled_at: start };
        let mut take = |events: f64, after: u64| {
            let taken = bucket.take(events, 2.0, 3, start + Duration::from_secs(after));
            (taken.is_granted, taken.wait_seconds)
        };
        assert_eq!(take(2.0, 0), (true, 0));
        assert_eq!(take(2.0, 0), (false, 1), "half a second, rounded up");
        assert_eq!(take(7.0, 1), (true, 3), "more than the burst, of a bucket that is full: five are owed");
        assert_eq!(take(1.0, 2), (false, 2));
    }
}
