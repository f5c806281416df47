//! What must be done now and then by some worker: partitions ahead, sweeping what expired, disabling endpoints that failed for
//! days. All of it can be done by several at once without harm.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use trunkline_boot::{Clock, Settings, Shutdown};
use trunkline_domain::EventId;
use trunkline_store::audit::{Action, Actor, Entry};
use trunkline_store::endpoints::DisabledFailing;
use trunkline_store::events::ordering::{self, KeyPlace, Place};
use trunkline_store::pool::within;
use trunkline_store::wake::{self, Wake};
use trunkline_store::{Connection, Pool, StoreError, audit, deliveries, endpoints, idempotency, partitions};

use crate::operational::{Fact, Herald, News};
use crate::retention::kept;
use crate::spare::Spare;
use crate::wake::Bell;

/// Between two rounds.
const ROUND: Duration = Duration::from_secs(60);

/// How long a duty is waited for; each of its statements has the server's limit of 10 s.
const PATIENCE: Duration = Duration::from_secs(120);

/// After a round that the database did not let us finish.
const ROUND_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Batches swept in one go, so that a large backlog does not keep partitions from being made.
const SWEEPS_MAX: usize = 50;

/// An endpoint that failed for so long without one success is disabled,
const FAILING_FOR: chrono::Duration = chrono::Duration::days(5);

/// if it failed so often: a quiet one may just have been unlucky.
const FAILURES_MIN: u32 = 100;

/// Endpoints disabled in one round at most, in one transaction with their rows in the audit; nobody waits long for their rows.
const DISABLED_MAX: i64 = 200;

/// Open deliveries with an ordering key looked through in one statement.
const LINES_LOOKED_THROUGH: i64 = 20_000;

/// Ordering keys looked through in one statement.
const KEYS_LOOKED_THROUGH: i64 = 2_000;

/// An ordering key is of use while an event with it can be sent again, which needs its payload. Its day may be some days wide, and stays
/// while something in it is open.
const KEYS_KEPT_BEYOND: chrono::Duration = chrono::Duration::days(31);

/// An endpoint deleted so lately may still get deliveries: of events whose publishers had matched it and not committed yet.
const DELETED_LATELY: chrono::Duration = chrono::Duration::hours(1);

/// Deliveries of such endpoints cancelled in one statement.
const CANCELLED_MAX: i64 = 1_000;

/// How long it is known who switched what: a year, and time to ask about it.
const AUDIT_KEPT: chrono::Duration = chrono::Duration::days(400);

/// What is to be done, and what it is called.
type Duty<'a> = (&'static str, BoxFuture<'a, Result<(), StoreError>>);

/// What a worker keeps up.
pub(crate) struct Upkeep {
    pool: Pool,
    spare: Spare,
    clock: Clock,
    herald: Herald,
    partitions_ahead: i32,
    partition_width: i32,
    /// How far the look for what waits behind nothing came: a round does not come to the end of many.
    stranded: Mutex<Place>,
    /// The same of ordering keys.
    swept: Mutex<KeyPlace>,
    payloads: chrono::Duration,
    gained: Bell,
}

impl Upkeep {
    pub(crate) fn new(settings: &Settings, pool: Pool, spare: Spare, clock: Clock, herald: Herald) -> Self {
        let days = |days: u32| i32::try_from(days).unwrap_or(i32::MAX);
        Self {
            pool,
            spare,
            clock,
            herald,
            partitions_ahead: days(settings.partitions.ahead),
            partition_width: days(settings.partitions.width_days),
            stranded: Mutex::default(),
            swept: Mutex::default(),
            payloads: kept(settings.retention.payloads),
            gained: Bell::default(),
        }
    }

    /// To be rung when lanes came here. A worker that was killed may have known of what waits there behind nothing.
    pub(crate) fn gained(&self) -> Bell {
        self.gained.clone()
    }

    /// Keeps things up until a stop is requested, which interrupts it: whatever was begun is done again by somebody.
    pub(crate) async fn run(&self, shutdown: Shutdown) {
        loop {
            let wait = tokio::select! {
                () = shutdown.requested() => return,
                all_done = self.round() => if all_done { ROUND } else { ROUND_AFTER_FAILURE },
            };
            let pause = tokio::time::sleep(wait);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = shutdown.requested() => return,
                    () = &mut pause => break,
                    () = self.gained.rung() => {}
                }
                tokio::select! {
                    () = shutdown.requested() => return,
                    _ = self.perform([self.letting_go()]) => {}
                }
            }
        }
    }

    async fn round(&self) -> bool {
        self.perform([
            ("making partitions ahead", self.make_partitions().boxed()),
            self.letting_go(),
            ("cancelling what deleted endpoints left", self.clear_deleted().boxed()),
            ("sweeping idempotency keys", self.sweep_keys().boxed()),
            ("sweeping ordering keys", self.sweep_ordering_keys().boxed()),
            ("sweeping the audit", self.sweep_audit().boxed()),
            ("disabling who failed for days", self.disable_failing().boxed()),
        ])
        .await
    }

    fn letting_go(&self) -> Duty<'_> {
        let duty = self.release_stranded(SWEEPS_MAX, LINES_LOOKED_THROUGH);
        ("letting go what waits behind nothing", duty.boxed())
    }

    /// Every duty by itself, on a connection of its own: one that fails, round after round, keeps no other from being done.
    async fn perform<const N: usize>(&self, duties: [Duty<'_>; N]) -> bool {
        let mut all_done = true;
        for (what, duty) in duties {
            let _turn = self.spare.turn().await;
            if let Err(error) = within(PATIENCE, duty).await {
                tracing::warn!(%error, duty = what, "upkeep did not come through; it is tried again in a few seconds");
                all_done = false;
            }
        }
        all_done
    }

    async fn make_partitions(&self) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        let made =
            partitions::create_ahead(&mut connection, self.partitions_ahead, self.partition_width).await?;
        if made > 0 {
            tracing::info!(count = made, "made partitions for the days ahead");
        }
        Ok(())
    }

    /// Lets deliveries go that wait behind nothing any more, from where the last round stopped.
    async fn release_stranded(&self, sweeps_max: usize, rows_max: i64) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        let stranded = || self.stranded.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..sweeps_max {
            let from = stranded().clone();
            let found = ordering::stranded(&mut connection, from, rows_max).await?;
            if !found.lines.is_empty() {
                let (released, _) =
                    deliveries::release_free(&mut connection, found.lines, self.clock.now()).await?;
                if !released.is_empty() {
                    // It may be older than all that was due, where no claim looks before a look has found it.
                    wake::notify(&mut connection, &Wake::Look).await?;
                }
            }
            let is_end = found.next.is_none();
            *stranded() = found.next.unwrap_or_default();
            if is_end {
                break;
            }
        }
        Ok(())
    }

    async fn clear_deleted(&self) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        for _ in 0..SWEEPS_MAX {
            let now = self.clock.now();
            if deliveries::cancel_of_deleted(&mut connection, None, now, CANCELLED_MAX).await? == 0 {
                deliveries::clear_deleted(&mut connection, now - DELETED_LATELY).await?;
                break;
            }
        }
        Ok(())
    }

    async fn sweep_keys(&self) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        for _ in 0..SWEEPS_MAX {
            if idempotency::sweep(&mut connection, self.clock.now()).await? < 1_000 {
                break;
            }
        }
        Ok(())
    }

    async fn sweep_ordering_keys(&self) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        let before = EventId::first_at(self.clock.now() - self.payloads - KEYS_KEPT_BEYOND);
        let swept = || self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..SWEEPS_MAX {
            let from = swept().clone();
            let next = ordering::sweep(&mut connection, from, before, KEYS_LOOKED_THROUGH).await?;
            let is_end = next.is_none();
            *swept() = next.unwrap_or_default();
            if is_end {
                break;
            }
        }
        Ok(())
    }

    async fn sweep_audit(&self) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        for _ in 0..SWEEPS_MAX {
            if audit::sweep(&mut connection, self.clock.now() - AUDIT_KEPT).await? < 1_000 {
                break;
            }
        }
        Ok(())
    }

    /// Disables who failed for days, writes that down, and tells.
    async fn disable_failing(&self) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        for one in self.disable_failing_now(&mut connection).await? {
            tracing::info!(tenant.id = %one.tenant_id, endpoint.id = %one.endpoint_id, failures = one.failures, "endpoint disabled: it failed for days");
            let fact = Fact::FailedForDays { failing_since: one.failing_since, failures: one.failures };
            self.herald.tell(News { tenant_id: one.tenant_id, about: one.endpoint_id, fact });
        }
        Ok(())
    }

    async fn disable_failing_now(
        &self,
        connection: &mut Connection,
    ) -> Result<Vec<DisabledFailing>, StoreError> {
        let now = self.clock.now();
        let mut transaction = trunkline_store::begin(connection).await?;
        let disabled =
            endpoints::disable_failing(&mut transaction, now - FAILING_FOR, FAILURES_MIN, DISABLED_MAX)
                .await?;
        for one in &disabled {
            let entry = Entry {
                actor: &Actor::Trunkline,
                action: Action::DisableFailingEndpoint,
                tenant_id: Some(&one.tenant_id),
                target: Some(one.endpoint_id.to_string()),
                request_id: None,
            };
            audit::record(&mut transaction, entry, now).await?;
        }
        transaction.commit().await?;
        Ok(disabled)
    }
}

#[cfg(test)]
mod tests {
    use trunkline_store::Purpose;
    use trunkline_store::wake::Session;
    use trunkline_testkit::{TestDatabase, publish, seed_tenant, settings};

    use super::*;
    use crate::operational::Crier;

    #[tokio::test]
    async fn what_one_round_does_not_reach_is_let_go_by_the_next() {
        let database = TestDatabase::new().await;
        let settings = settings(&database);
        let acme = seed_tenant(&database, &settings, "acme", "http://127.0.0.1:9/").await;
        for _ in 0..3 {
            publish(&database, &acme, "{}").await;
        }
        database
            .execute(
                "UPDATE trunkline.deliveries SET ordering_key = event_id, held = true, due_at = NULL;
                 INSERT INTO trunkline.ordering_keys
                 SELECT lane, tenant_id, ordering_key, event_id FROM trunkline.deliveries",
            )
            .await;
        let (pool, clock) = (database.pool(Purpose::Engine), Clock::new());
        let upkeep =
            Upkeep::new(&settings, pool.clone(), Spare::of(1), clock.clone(), Crier::new(pool, clock).0);
        let held = "SELECT count(*) FROM trunkline.deliveries WHERE held";
        let mut session = Session::connect(database.url(), 1).await.unwrap().unwrap();
        for left in ["2", "1", "0"] {
            upkeep.release_stranded(1, 1).await.unwrap();
            assert_eq!(database.text(held).await, left);
            assert_eq!(session.next().await.unwrap(), Some(Wake::Look));
        }
        // At the end it begins anew.
        upkeep.release_stranded(1, 1).await.unwrap();
        database.execute("UPDATE trunkline.deliveries SET held = true, due_at = NULL").await;
        upkeep.release_stranded(9, 1).await.unwrap();
        assert_eq!(database.text(held).await, "0");
    }
}
