//! Shows what only the database knows: the queue, partitions, transactions that keep it from cleaning up. Every worker does
//! so, and all show the same: take the maximum over them, not the sum.

use std::time::Duration;

use chrono::{DateTime, Utc};
use trunkline_boot::metrics::{Gauge, gauge};
use trunkline_boot::{Clock, Settings, Shutdown};
use trunkline_store::pool::within;
use trunkline_store::watch::{self, Gate, Queue, Sweep};
use trunkline_store::{Pool, StoreError, partitions, retention};

use crate::retention::kept;
use crate::spare::Spare;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(10);

/// How long one may take; the server's own limit of a statement is 10 s, and there are several.
const PATIENCE: Duration = Duration::from_secs(15);

/// Looks, and sets gauges.
pub(crate) struct Sampler {
    pool: Pool,
    spare: Spare,
    clock: Clock,
    endpoint_concurrency: usize,
    payloads: chrono::Duration,
    events: chrono::Duration,
    sweep: Sweep,
    gauges: Gauges,
}

struct Gauges {
    database_up: Gauge,
    due: [Gauge; 4],
    oldest_due: [Gauge; 4],
    in_flight: Gauge,
    scheduled: Gauge,
    held: Gauge,
    is_estimate: Gauge,
    partitions_ahead: Gauge,
    partitions_overdue: Gauge,
    oldest_transaction: Gauge,
}

impl Sampler {
    pub(crate) fn new(pool: Pool, spare: Spare, clock: Clock, settings: &Settings) -> Self {
        Self {
            pool,
            spare,
            clock,
            endpoint_concurrency: settings.worker.endpoint_concurrency,
            payloads: kept(settings.retention.payloads),
            events: kept(settings.retention.events),
            sweep: Sweep::default(),
            gauges: Gauges::new(),
        }
    }

    /// Looks until a stop is requested.
    pub(crate) async fn run(&mut self, shutdown: Shutdown) {
        while !shutdown.is_requested() {
            let looked = tokio::select! {
                () = shutdown.requested() => return,
                looked = self.look_in_turn() => looked,
            };
            // A failure is told by those whose work it stops; here it is a number.
            self.gauges.database_up.set(if looked.is_ok() { 1.0 } else { 0.0 });
            tokio::select! {
                () = shutdown.requested() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn look_in_turn(&mut self) -> Result<(), StoreError> {
        let _turn = self.spare.turn().await;
        within(PATIENCE, self.look()).await
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        let now = self.clock.now();
        self.sweep.look(&mut connection, now, self.endpoint_concurrency).await?;
        self.gauges.show(&self.sweep.queue(), now);
        let days = partitions::days_ahead(&mut connection).await?;
        self.gauges.partitions_ahead.set(f64::from(days));
        let overdue =
            retention::overdue_days(&mut connection, now - self.payloads, now - self.events).await?;
        self.gauges.partitions_overdue.set(f64::from(overdue));
        let seconds = watch::oldest_transaction_seconds(&mut connection).await?;
        self.gauges.oldest_transaction.set(seconds);
        Ok(())
    }
}

impl Gauges {
    fn new() -> Self {
        let deliveries = |state| {
            let help =
                "Open deliveries by state, an estimate where the queue is long; the same from every worker";
            gauge("trunkline_queue_deliveries", help, &[("state", state)])
        };
        let oldest = |state| {
            let help = "How long the oldest delivery that is due and not under way has been due, by state; the same from every worker";
            gauge("trunkline_queue_oldest_due_seconds", help, &[("state", state)])
        };
        Self {
            database_up: gauge(
                "trunkline_database_up",
                "Whether the last look at the database succeeded",
                &[],
            ),
            due: Gate::ALL.map(|gate| deliveries(gate.as_str())),
            oldest_due: Gate::ALL.map(|gate| oldest(gate.as_str())),
            in_flight: deliveries("in_flight"),
            scheduled: deliveries("scheduled"),
            held: deliveries("held"),
            is_estimate: gauge(
                "trunkline_queue_is_estimate",
                "1 where trunkline_queue_deliveries is an estimate",
                &[],
            ),
            partitions_ahead: gauge(
                "trunkline_partitions_ahead_days",
                "Days after today that have partitions; below zero, publishing fails",
                &[],
            ),
            partitions_overdue: gauge(
                "trunkline_partitions_overdue_days",
                "Days of history that should be gone by their retention, and are not",
                &[],
            ),
            oldest_transaction: gauge(
                "trunkline_database_oldest_transaction_seconds",
                "How long the oldest transaction has been open, as far as the worker's role may see",
                &[],
            ),
        }
    }

    fn show(&self, queue: &Queue, now: DateTime<Utc>) {
        for (gauge, count) in self.due.iter().zip(queue.due) {
            gauge.set(count as f64);
        }
        for (gauge, oldest) in self.oldest_due.iter().zip(queue.oldest_due_at) {
            let age = oldest.map_or(chrono::Duration::zero(), |oldest| now - oldest);
            gauge.set(age.as_seconds_f64());
        }
        self.in_flight.set(queue.in_flight as f64);
        self.scheduled.set(queue.scheduled as f64);
        self.held.set(queue.held as f64);
        self.is_estimate.set(if queue.is_estimate { 1.0 } else { 0.0 });
    }
}
