use super::super::reader::Reader;
use super::{hours, milliseconds, minutes, seconds};
use std::time::Duration;

/// What a lease must leave after an attempt's deadline: time to record the outcome before another takes it.
pub(in crate::settings) const LEASE_MARGIN: Duration = seconds(3);
/// What a graceful stop must leave after the longest attempt: time to record the outcome and close.
pub(in crate::settings) const DRAIN_MARGIN: Duration = seconds(2);

/// `worker.*`
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Attempts in flight per process, 1-10,000.
    pub concurrency: usize,
    /// Attempts in flight per endpoint, 1-1,000.
    pub endpoint_concurrency: usize,
    /// How long a claim is ours; exceeds `delivery.timeout` by 3 s or more.
    pub lease: Duration,
    /// How long a stop waits for attempts that were started; exceeds `delivery.timeout` by 2 s or more.
    pub drain: Duration,
    /// How often an idle worker looks for due work when no notification comes.
    pub poll_idle: Duration,
    /// How often a busy worker looks for due work.
    pub poll_busy: Duration,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            concurrency: 512,
            endpoint_concurrency: 32,
            lease: seconds(30),
            drain: seconds(22),
            poll_idle: milliseconds(250),
            poll_busy: milliseconds(20),
        }
    }
}

impl WorkerSettings {
    /// The longest deadline that an endpoint may have of its own: what lease and drain leave for an attempt.
    pub fn attempt_timeout_max(&self) -> Duration {
        self.lease.saturating_sub(LEASE_MARGIN).min(self.drain.saturating_sub(DRAIN_MARGIN))
    }

    pub(super) fn read(reader: &mut Reader) -> Self {
        let default = Self::default();
        let attempts = "a number of attempts";
        Self {
            concurrency: reader.number("worker.concurrency", default.concurrency, 1..=10_000, attempts),
            endpoint_concurrency: reader.number(
                "worker.endpoint_concurrency",
                default.endpoint_concurrency,
                1..=1_000,
                attempts,
            ),
            lease: reader.duration("worker.lease", default.lease, milliseconds(3_100)..=hours(1)),
            drain: reader.duration("worker.drain", default.drain, milliseconds(2_100)..=hours(1)),
            poll_idle: reader.duration("worker.poll_idle", default.poll_idle, milliseconds(1)..=minutes(1)),
            poll_busy: reader.duration("worker.poll_busy", default.poll_busy, milliseconds(1)..=seconds(10)),
        }
    }
}

/// An attempt that may outlive its lease is sent twice; one that may outlive the drain is cut short.
pub(super) fn refuse_short_margins(reader: &mut Reader, worker: &WorkerSettings, timeout: Duration) {
    let margins =
        [("worker.lease", worker.lease, LEASE_MARGIN), ("worker.drain", worker.drain, DRAIN_MARGIN)];
    for (key, value, margin) in margins {
        if value >= timeout + margin {
            continue;
        }
        let show = humantime::format_duration;
        // The blame goes to what was written, not to a default.
        if reader.is_written(key) {
            let (least, timeout, margin) = (show(timeout + margin), show(timeout), show(margin));
            let reason =
                format!("accepts {least} or more: it must exceed delivery.timeout ({timeout}) by {margin}");
            reader.refuse(key, reason);
        } else {
            let (most, value, margin) = (show(value.saturating_sub(margin)), show(value), show(margin));
            let reason = format!("accepts {most} or less: {key} ({value}) must exceed it by {margin}");
            reader.refuse("delivery.timeout", reason);
        }
    }
}
