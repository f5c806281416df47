//! What a process counts. Each room names its metrics once, on a page of its own, and keeps the handles: counting is an
//! atomic addition then, whatever the labels.
//!
//! A label's values are a short list that the code knows. A tenant, an endpoint or anything else that a stranger can make
//! more of is never one: each value is a series that Prometheus keeps.

use std::time::Duration;

use metrics::{Label, describe_counter, describe_gauge, describe_histogram};

pub use metrics::{Counter, Gauge, Histogram};

use crate::admin::{fold_samples, record_metrics};

/// How often the use of connections is looked at.
const POOLS_EVERY: Duration = Duration::from_secs(5);

/// A number that only grows. `name` ends with `_total`.
pub fn counter(name: &'static str, help: &'static str, labels: &[(&'static str, &str)]) -> Counter {
    record_metrics();
    describe_counter!(name, help);
    metrics::counter!(name, owned(labels))
}

/// A number that goes up and down.
pub fn gauge(name: &'static str, help: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
    record_metrics();
    describe_gauge!(name, help);
    metrics::gauge!(name, owned(labels))
}

/// How values are spread: seconds where `name` ends with `_seconds`, else sizes from 1 to 1,024.
pub fn histogram(name: &'static str, help: &'static str, labels: &[(&'static str, &str)]) -> Histogram {
    record_metrics();
    describe_histogram!(name, help);
    metrics::histogram!(name, owned(labels))
}

fn owned(labels: &[(&'static str, &str)]) -> Vec<Label> {
    labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned())).collect()
}

/// Says that a door runs here, and of which release.
pub fn tell_build(door: &'static str, version: &'static str) {
    let help = "1 for each door that runs, with its release";
    gauge("trunkline_build_info", help, &[("door", door), ("version", version)]).set(1.0);
}

/// How a pool's connections are used at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// In somebody's hands.
    pub used: usize,
    /// Open, and waiting.
    pub idle: usize,
    /// How many there may be.
    pub max: usize,
}

/// Looks at a pool.
pub type LookAtPool = Box<dyn Fn() -> PoolUse + Send + Sync>;

/// A pool's name, and how to look at it.
pub type WatchedPool = (&'static str, LookAtPool);

/// Shows how pools are used, for as long as it is polled.
pub async fn follow_pools(door: &'static str, pools: Vec<WatchedPool>) {
    let gauges: Vec<_> = pools.into_iter().map(|(pool, look)| (PoolGauges::new(door, pool), look)).collect();
    loop {
        gauges.iter().for_each(|(gauges, look)| gauges.set(look()));
        // A door that runs without an admin listener, in a test, has nobody else who does.
        fold_samples();
        tokio::time::sleep(POOLS_EVERY).await;
    }
}

struct PoolGauges {
    used: Gauge,
    idle: Gauge,
    max: Gauge,
}

impl PoolGauges {
    fn new(door: &'static str, pool: &'static str) -> Self {
        let (name, help) =
            ("trunkline_database_connections", "Connections to the database, by pool and state");
        let of_state = |state| gauge(name, help, &[("door", door), ("pool", pool), ("state", state)]);
        Self {
            used: of_state("used"),
            idle: of_state("idle"),
            max: gauge(
                "trunkline_database_connections_max",
                "Connections that a pool may have",
                &[("door", door), ("pool", pool)],
            ),
        }
    }

    fn set(&self, now: PoolUse) {
        self.used.set(now.used as f64);
        self.idle.set(now.idle as f64);
        self.max.set(now.max as f64);
    }
}
