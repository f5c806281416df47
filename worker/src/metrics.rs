//! Everything a worker counts, on one page.

use std::sync::LazyLock;

use trunkline_boot::metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use trunkline_domain::AttemptOutcome;

/// Made at the first use, and never again: what counts holds its counter.
pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// What a worker can conclude of an attempt; the other outcomes are written by whoever takes a delivery over.
const CONCLUDED: [AttemptOutcome; 8] = [
    AttemptOutcome::Succeeded,
    AttemptOutcome::Rejected,
    AttemptOutcome::Timeout,
    AttemptOutcome::DnsError,
    AttemptOutcome::TlsError,
    AttemptOutcome::ConnectionError,
    AttemptOutcome::Blocked,
    AttemptOutcome::InternalError,
];

/// What tenants are told of by operational events.
const OPERATIONAL_EVENTS: [&str; 5] =
    ["endpoint.disabled", "endpoint.failing", "endpoint.recovered", "delivery.exhausted", "delivery.expired"];

pub(crate) struct Metrics {
    pub(crate) claims: Counter,
    pub(crate) claims_failed: Counter,
    pub(crate) claim_seconds: Histogram,
    pub(crate) claimed: Counter,
    pub(crate) given_back: Counter,
    pub(crate) wait_seconds: Histogram,
    pub(crate) attempt_seconds: Histogram,
    pub(crate) under_way: Gauge,
    pub(crate) concurrency: Gauge,
    pub(crate) record_batch: Histogram,
    pub(crate) record_seconds: Histogram,
    pub(crate) leases_lost: Counter,
    pub(crate) dead_letters: Counter,
    pub(crate) lanes: Gauge,
    pub(crate) breakers: [Gauge; 3],
    pub(crate) breakers_opened: Counter,
    pub(crate) breakers_closed: Counter,
    pub(crate) panics: Counter,
    pub(crate) replayed: Counter,
    pub(crate) retention_failures: Counter,
    pub(crate) expired: Counter,
    pub(crate) erased: Counter,
    pub(crate) operational_events_dropped: Counter,
    attempts: Vec<(AttemptOutcome, Counter)>,
    operational_events: Vec<(&'static str, Counter)>,
}

impl Metrics {
    fn new() -> Self {
        let claims = |result| {
            let help = "Statements that claimed deliveries, by whether the database answered";
            counter("trunkline_worker_claims_total", help, &[("result", result)])
        };
        let breakers = |state| {
            let help = "Endpoints that this worker knows, by their circuit breaker's state";
            gauge("trunkline_worker_breakers", help, &[("state", state)])
        };
        let turns = |to| {
            let help = "Circuit breakers that opened, or stayed open after a probe, or closed";
            counter("trunkline_worker_breaker_turns_total", help, &[("to", to)])
        };
        let attempts = |outcome: &AttemptOutcome| {
            let help = "Attempts that ended, by outcome";
            let labels = [("outcome", outcome.as_str())];
            (*outcome, counter("trunkline_worker_attempts_total", help, &labels))
        };
        let operational_events = |event_type: &&'static str| {
            let help = "Operational events that tenants were told, by type";
            let labels = [("type", *event_type)];
            (*event_type, counter("trunkline_worker_operational_events_total", help, &labels))
        };
        Self {
            claims: claims("answered"),
            claims_failed: claims("failed"),
            claim_seconds: histogram("trunkline_worker_claim_seconds", "How long a claim took", &[]),
            claimed: counter("trunkline_worker_claimed_total", "Deliveries claimed", &[]),
            given_back: counter(
                "trunkline_worker_given_back_total",
                "Deliveries that were claimed and given back, uncounted",
                &[],
            ),
            wait_seconds: histogram(
                "trunkline_worker_wait_seconds",
                "From when a delivery was due until its attempt began",
                &[],
            ),
            attempt_seconds: histogram(
                "trunkline_worker_attempt_seconds",
                "From the look-up of the endpoint's name to the last byte of its answer",
                &[],
            ),
            under_way: gauge("trunkline_worker_attempts_under_way", "Attempts under way", &[]),
            concurrency: gauge(
                "trunkline_worker_concurrency",
                "Attempts that may be under way (worker.concurrency)",
                &[],
            ),
            record_batch: histogram(
                "trunkline_worker_record_batch",
                "Outcomes that were written together",
                &[],
            ),
            record_seconds: histogram(
                "trunkline_worker_record_seconds",
                "How long writing a batch of outcomes took, with every try",
                &[],
            ),
            leases_lost: counter(
                "trunkline_worker_leases_lost_total",
                "Outcomes that were not written: the delivery was somebody else's by then",
                &[],
            ),
            dead_letters: counter(
                "trunkline_worker_dead_letters_total",
                "Deliveries that used up their attempts",
                &[],
            ),
            lanes: gauge("trunkline_worker_lanes", "Lanes that this worker serves, of 64", &[]),
            breakers: ["closed", "half_open", "open"].map(breakers),
            breakers_opened: turns("open"),
            breakers_closed: turns("closed"),
            panics: counter(
                "trunkline_worker_panics_total",
                "Attempts and parts of the worker whose code panicked; they are tried again",
                &[],
            ),
            replayed: counter(
                "trunkline_worker_replayed_total",
                "Deliveries that replays made due again",
                &[],
            ),
            retention_failures: counter(
                "trunkline_worker_retention_failures_total",
                "Rounds of retention that did not come through",
                &[],
            ),
            expired: counter(
                "trunkline_worker_expired_total",
                "Deliveries cancelled because they waited past the retention of their events",
                &[],
            ),
            erased: counter(
                "trunkline_worker_erased_total",
                "Events erased because a tenant or a type keeps them for less than the installation",
                &[],
            ),
            operational_events_dropped: counter(
                "trunkline_worker_operational_events_dropped_total",
                "Operational events that nobody was told, because there were too many",
                &[],
            ),
            operational_events: OPERATIONAL_EVENTS.iter().map(operational_events).collect(),
            attempts: CONCLUDED.iter().map(attempts).collect(),
        }
    }

    /// Counts an operational event.
    pub(crate) fn count_operational_event(&self, event_type: &str) {
        if let Some((_, counter)) = self.operational_events.iter().find(|(one, _)| *one == event_type) {
            counter.increment(1);
        }
    }

    /// Counts an attempt that ended.
    pub(crate) fn count_attempt(&self, outcome: AttemptOutcome, duration_ms: u32) {
        if let Some((_, counter)) = self.attempts.iter().find(|(one, _)| *one == outcome) {
            counter.increment(1);
        }
        self.attempt_seconds.record(f64::from(duration_ms) / 1_000.0);
    }
}
