//! Shows what only the database knows: the queue, partitions, transactions that keep it from cleaning up. Every worker does
//! so, and all show the same: take the maximum over them, not the sum.

use std::time::Duration;

use chrono::{DateTime, Utc};
use trunkline_boot::metrics::{Gauge, gauge};
use trunkline_boot::{Clock, Shutdown};
use trunkline_store::pool::within;
use trunkline_store::watch::{self, Gate, Queue};
use trunkline_store::{Pool, StoreError, partitions};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(10);

/// How long one may take; the server's own limit of a statement is 10 s, and there are several.
const PATIENCE: Duration = Duration::from_secs(15);

/// Looks, and sets gauges.
pub(crate) struct Sampler {
    pool: Pool,
    clock: Clock,
    gauges: Gauges,
}

struct Gauges {
    database_up: Gauge,
    due: [Gauge; 3],
    oldest_due: [Gauge; 3],
    in_flight: Gauge,
    scheduled: Gauge,
    is_estimate: Gauge,
    partitions_ahead: Gauge,
    oldest_transaction: Gauge,
}

impl Sampler {
    pub(crate) fn new(pool: Pool, clock: Clock) -> Self {
        Self { pool, clock, gauges: Gauges::new() }
    }

    /// Looks until a stop is requested.
    pub(crate) async fn run(&self, shutdown: Shutdown) {
        while !shutdown.is_requested() {
            let looked = tokio::select! {
                () = shutdown.requested() => return,
                looked = within(PATIENCE, self.look()) => looked,
            };
            // A failure is told by those whose work it stops; here it is a number.
            self.gauges.database_up.set(if looked.is_ok() { 1.0 } else { 0.0 });
            tokio::select! {
                () = shutdown.requested() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn look(&self) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        let now = self.clock.now();
        let (queue, _) = watch::queue(&mut connection, now).await?;
        self.gauges.show(&queue, now);
        let days = partitions::days_ahead(&mut connection).await?;
        self.gauges.partitions_ahead.set(f64::from(days));
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
        self.is_estimate.set(if queue.is_estimate { 1.0 } else { 0.0 });
    }
}
