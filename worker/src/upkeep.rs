//! What must be done now and then by some worker: partitions ahead, the heartbeat, sweeping what expired. All of it can
//! be done by several at once without harm.

use std::time::Duration;

use trunkline_boot::{Clock, Settings, Shutdown};
use trunkline_store::{Pool, StoreError, idempotency, partitions, workers};
use uuid::Uuid;

/// Between two heartbeats.
const BEAT: Duration = Duration::from_secs(5);

/// A worker silent for so long is forgotten.
const DEAD_AFTER: Duration = Duration::from_secs(60);

/// Partitions and sweeps come around every so many heartbeats.
const BEATS_PER_ROUND: u32 = 12;

/// Batches swept in one go, so that a large backlog does not keep the heart from beating.
const SWEEPS_MAX: usize = 50;

/// Who this worker is, and what it keeps up.
pub(crate) struct Upkeep {
    pub(crate) pool: Pool,
    pub(crate) clock: Clock,
    pub(crate) worker_id: Uuid,
    pub(crate) worker_name: String,
    partitions_ahead: i32,
    partition_width: i32,
}

impl Upkeep {
    pub(crate) fn new(settings: &Settings, pool: Pool, clock: Clock, worker_name: String) -> Self {
        let days = |days: u32| i32::try_from(days).unwrap_or(i32::MAX);
        Self {
            pool,
            clock,
            worker_id: Uuid::from_bytes(trunkline_boot::random::random_bytes()),
            worker_name,
            partitions_ahead: days(settings.partitions.ahead),
            partition_width: days(settings.partitions.width_days),
        }
    }

    /// Keeps things up until a stop is requested, then takes this worker off the list.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let mut beats = 0;
        loop {
            if let Err(error) = self.beat(beats % BEATS_PER_ROUND == 0).await {
                tracing::warn!(%error, "upkeep did not come through; it is tried again in a few seconds");
            } else {
                beats += 1;
            }
            tokio::select! {
                () = shutdown.requested() => break,
                () = tokio::time::sleep(BEAT) => {}
            }
        }
        if let Ok(mut connection) = self.pool.acquire().await {
            // Whoever is still listed is swept by the others.
            let _ = workers::leave(&mut connection, self.worker_id).await;
        }
    }

    async fn beat(&self, is_round: bool) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        let (now, version) = (self.clock.now(), env!("CARGO_PKG_VERSION"));
        workers::beat(&mut connection, self.worker_id, &self.worker_name, version, now, now - DEAD_AFTER)
            .await?;
        if !is_round {
            return Ok(());
        }
        let made =
            partitions::create_ahead(&mut connection, self.partitions_ahead, self.partition_width).await?;
        if made > 0 {
            tracing::info!(count = made, "made partitions for the days ahead");
        }
        for _ in 0..SWEEPS_MAX {
            if idempotency::sweep(&mut connection, now).await? < 1_000 {
                break;
            }
        }
        Ok(())
    }
}
