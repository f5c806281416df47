use super::super::reader::{Reader, duration_in};
use super::{days, hours, milliseconds, minutes, seconds};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Of which answers the headers are kept with the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptHeaders {
    /// Of those that say no: history stays small, and what went well needs no explanation.
    Failures,
    /// Of all, such as for a request id that the endpoint's own log knows.
    All,
}

/// `delivery.*`
#[derive(Debug, Clone)]
pub struct DeliverySettings {
    /// Waits between attempts, 1-30 of them; their number + 1 is the attempt budget.
    pub retry_schedule: Vec<Duration>,
    /// Spread of a wait, 0.0-1.0: each is multiplied by a uniform factor in `[1 - jitter, 1 + jitter]`.
    pub retry_jitter: f64,
    /// One deadline for a whole attempt: resolve, connect, TLS, answer head and body.
    pub timeout: Duration,
    /// The part of `timeout` that connecting may take.
    pub connect_timeout: Duration,
    /// Of which answers the headers are kept.
    pub keep_headers: KeptHeaders,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self {
            retry_schedule: vec![
                seconds(5),
                minutes(5),
                minutes(30),
                hours(2),
                hours(5),
                hours(10),
                hours(14),
                hours(20),
                hours(24),
            ],
            retry_jitter: 0.2,
            timeout: seconds(15),
            connect_timeout: seconds(5),
            keep_headers: KeptHeaders::Failures,
        }
    }
}

/// A wait beyond 30 days would outlive the partitions of its event.
const WAIT: RangeInclusive<Duration> = milliseconds(1)..=days(30);
const WAITS_MAX: usize = 30;

impl DeliverySettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let default = Self::default();
        Self {
            retry_schedule: retry_schedule(reader, default.retry_schedule),
            retry_jitter: reader.number(
                "delivery.retry_jitter",
                default.retry_jitter,
                0.0..=1.0,
                "a fraction",
            ),
            timeout: reader.duration("delivery.timeout", default.timeout, milliseconds(100)..=minutes(5)),
            connect_timeout: reader.duration(
                "delivery.connect_timeout",
                default.connect_timeout,
                milliseconds(10)..=minutes(1),
            ),
            keep_headers: reader.choice(
                "delivery.keep_headers",
                default.keep_headers,
                &[("failures", KeptHeaders::Failures), ("all", KeptHeaders::All)],
            ),
        }
    }
}

fn retry_schedule(reader: &mut Reader, default: Vec<Duration>) -> Vec<Duration> {
    let accepts = "accepts 1 to 30 durations from 1ms to 30days, such as 5s,5m,2h";
    let schedule = reader.list("delivery.retry_schedule", default, accepts, |entry| {
        duration_in(entry, &WAIT).ok_or("is none")
    });
    if !(1..=WAITS_MAX).contains(&schedule.len()) {
        reader.refuse("delivery.retry_schedule", accepts.to_owned());
    }
    schedule
}
