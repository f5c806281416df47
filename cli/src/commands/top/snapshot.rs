//! What is shown, as data: the same in a terminal and as JSON.

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_store::watch::{self, Counted, Gate, Queue, WaitingEndpoint, WorkerShown};
use trunkline_store::{Connection, partitions, time};

use super::metrics_page::Process;

/// Counters at a moment.
pub(super) struct Reading {
    at: DateTime<Utc>,
    counted: Counted,
}

/// Everything at a moment.
#[derive(Debug, Serialize)]
pub(super) struct Snapshot {
    pub(super) at: DateTime<Utc>,
    pub(super) rates: Rates,
    pub(super) queue: Waiting,
    pub(super) lanes_unowned: i64,
    pub(super) partitions_ahead_days: i32,
    pub(super) oldest_transaction_seconds: f64,
    pub(super) workers: Vec<Worker>,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) processes: Vec<Process>,
}

/// A second, since the look before.
#[derive(Debug, Serialize)]
pub(super) struct Rates {
    pub(super) events: f64,
    pub(super) attempts: f64,
}

/// The queue.
#[derive(Debug, Serialize)]
pub(super) struct Waiting {
    pub(super) due: Vec<Due>,
    pub(super) in_flight: i64,
    pub(super) scheduled: i64,
    pub(super) held: i64,
    pub(super) is_estimate: bool,
}

/// What is due and not under way.
#[derive(Debug, Serialize)]
pub(super) struct Due {
    pub(super) state: &'static str,
    pub(super) deliveries: i64,
    pub(super) oldest_seconds: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct Worker {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) lanes: i64,
    pub(super) up_seconds: i64,
    pub(super) silent_seconds: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct Endpoint {
    pub(super) tenant_id: String,
    pub(super) endpoint_id: String,
    pub(super) name: String,
    pub(super) state: &'static str,
    pub(super) due: i64,
    pub(super) in_flight: i64,
    pub(super) scheduled: i64,
    pub(super) is_cut: bool,
    pub(super) oldest_seconds: f64,
    pub(super) failing_seconds: Option<f64>,
}

impl Reading {
    /// Reads the counters.
    pub(super) async fn take(connection: &mut Connection) -> anyhow::Result<Self> {
        let at = time::now(connection).await?;
        Ok(Self { at, counted: watch::counted(connection).await? })
    }
}

impl Snapshot {
    /// Looks at everything, with at most so many endpoints.
    pub(super) async fn take(
        connection: &mut Connection,
        before: &Reading,
        now: &Reading,
        endpoint_concurrency: usize,
        endpoints_max: usize,
    ) -> anyhow::Result<Self> {
        let at = now.at;
        let workers = watch::workers(connection, at).await?;
        let owned: i64 = workers.iter().map(|worker| worker.lanes).sum();
        let (queue, endpoints) = watch::queue(connection, at, endpoint_concurrency).await?;
        Ok(Self {
            at,
            rates: Rates::between(before, now),
            queue: Waiting::of(&queue, at),
            lanes_unowned: i64::from(trunkline_domain::lane::LANES) - owned,
            partitions_ahead_days: partitions::days_ahead(connection).await?,
            oldest_transaction_seconds: watch::oldest_transaction_seconds(connection).await?,
            workers: workers.into_iter().map(|worker| Worker::of(worker, at)).collect(),
            endpoints: endpoints.iter().take(endpoints_max).map(|one| Endpoint::of(one, at)).collect(),
            processes: Vec::new(),
        })
    }
}

impl Rates {
    fn between(before: &Reading, now: &Reading) -> Self {
        let seconds = (now.at - before.at).as_seconds_f64().max(0.001);
        // Statistics can be reset, and then the counters are smaller than before.
        let rate = |before: i64, now: i64| (now - before).max(0) as f64 / seconds;
        Self {
            events: rate(before.counted.events, now.counted.events),
            attempts: rate(before.counted.attempts, now.counted.attempts),
        }
    }
}

impl Waiting {
    fn of(queue: &Queue, now: DateTime<Utc>) -> Self {
        let due = |gate: Gate| Due {
            state: gate.as_str(),
            deliveries: queue.due[gate as usize],
            oldest_seconds: age(queue.oldest_due_at[gate as usize], now),
        };
        Self {
            due: Gate::ALL.map(due).into(),
            in_flight: queue.in_flight,
            scheduled: queue.scheduled,
            held: queue.held,
            is_estimate: queue.is_estimate,
        }
    }
}

impl Worker {
    fn of(worker: WorkerShown, now: DateTime<Utc>) -> Self {
        Self {
            up_seconds: (now - worker.started_at).num_seconds().max(0),
            silent_seconds: age(Some(worker.seen_at), now),
            name: worker.name,
            version: worker.version,
            lanes: worker.lanes,
        }
    }
}

impl Endpoint {
    fn of(one: &WaitingEndpoint, now: DateTime<Utc>) -> Self {
        Self {
            tenant_id: one.tenant_id.to_string(),
            endpoint_id: one.endpoint_id.to_string(),
            name: one.name.clone(),
            state: one.gate.as_str(),
            due: one.due,
            in_flight: one.in_flight,
            scheduled: one.scheduled,
            is_cut: one.is_cut,
            oldest_seconds: age(one.oldest_due_at, now),
            failing_seconds: one.failing_since.map(|since| age(Some(since), now)),
        }
    }
}

fn age(since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> f64 {
    since.map_or(0.0, |since| (now - since).as_seconds_f64().max(0.0))
}
