//! Shows what only the database knows: the queue, partitions, transactions that keep it from cleaning up. Every worker does
//! so, and all show the same: take the maximum over them, not the sum.

use std::time::Duration;

use chrono::{DateTime, Utc};
use trunkline_boot::metrics::{Gauge, gauge};
use trunkline_boot::{Clock, Settings, Shutdown};
use trunkline_store::pool::within;
use trunkline_store::watch::{self, Gate, Queue, Sweep};
use trunkline_store::{Connection, Pool, StoreError, partitions, retention, time};

use crate::retention::kept;
use crate::spare::Spare;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(10);

/// How long a look may take; the server's own limit of a statement is 10 s, and there are several.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long the database may take to say that it is there.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// Looks, and sets gauges.
pub(crate) struct Sampler {
    pool: Pool,
    spare: Spare,
    clock: Clock,
    endpoint_concurrency: usize,
    payloads: chrono::Duration,
    events: chrono::Duration,
    sweep: Sweep,
    /// It was said that the others stay as they were.
    is_behind: bool,
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
            is_behind: false,
            gauges: Gauges::new(),
        }
    }

    /// Looks until a stop is requested.
    pub(crate) async fn run(&mut self, shutdown: Shutdown) {
        while !shutdown.is_requested() {
            let is_up = tokio::select! {
                () = shutdown.requested() => return,
                is_up = self.look_in_turn() => is_up,
            };
            self.gauges.database_up.set(if is_up { 1.0 } else { 0.0 });
            tokio::select! {
                () = shutdown.requested() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Whether the database answered, be it that a look takes longer than it may. That it is away is told by those whose work that stops.
    async fn look_in_turn(&mut self) -> bool {
        let _turn = self.spare.turn().await;
        let Ok(mut connection) = within(ANSWER_PATIENCE, self.connect()).await else { return false };
        let looked = within(PATIENCE, self.look(&mut connection)).await;
        if let Err(error) = &looked
            && !self.is_behind
        {
            tracing::warn!(%error, "what metrics show of the queue and of partitions stays as it was: the look at it did not come through");
        }
        self.is_behind = looked.is_err();
        true
    }

    /// A connection on which the database has answered.
    async fn connect(&self) -> Result<Connection, StoreError> {
        let mut connection = self.pool.acquire().await?;
        time::now(&mut connection).await?;
        Ok(connection)
    }

    async fn look(&mut self, connection: &mut Connection) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.sweep.look(connection, now, self.endpoint_concurrency).await?;
        self.gauges.show(&self.sweep.queue(), now);
        let days = partitions::days_ahead(connection).await?;
        self.gauges.partitions_ahead.set(f64::from(days));
        let overdue = retention::overdue_days(connection, now - self.payloads, now - self.events).await?;
        self.gauges.partitions_overdue.set(f64::from(overdue));
        let seconds = watch::oldest_transaction_seconds(connection).await?;
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
                "Whether the database answered the last time that it was asked",
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

#[cfg(test)]
mod tests {
    use trunkline_store::{Purpose, pool};
    use trunkline_testkit::{TestDatabase, settings};

    use super::*;

    #[tokio::test]
    async fn a_database_that_answers_is_up_although_a_look_does_not_come_through() {
        let database = TestDatabase::new().await;
        let settings = settings(&database);
        let sampler = |pool| Sampler::new(pool, Spare::of(1), Clock::new(), &settings);
        let mut one = sampler(database.pool(Purpose::Engine));
        let mut holder = database.connect().await;
        trunkline_testkit::run(
            &mut holder,
            "BEGIN; LOCK TABLE trunkline.deliveries IN ACCESS EXCLUSIVE MODE",
        )
        .await;
        assert!(one.look_in_turn().await);
        assert!(one.is_behind, "which the log tells once");
        trunkline_testkit::run(&mut holder, "ROLLBACK").await;
        assert!(one.look_in_turn().await);
        assert!(!one.is_behind);
        let away = pool::open("postgres://nobody@127.0.0.1:1/none", Purpose::Engine, 1).unwrap();
        assert!(!sampler(away).look_in_turn().await);
    }
}
