//! Replays: deliveries of the past made due again, a step at a time. Any worker makes any step; each is one transaction that
//! takes the replay's row, so that two workers never make the same one, and what a worker that dies leaves is the row as it was.

use std::time::Duration;

use trunkline_boot::{Clock, Shutdown};
use trunkline_store::pool::within;
use trunkline_store::wake::{self, Wake};
use trunkline_store::{Pool, StoreError, replays};

use crate::metrics::METRICS;
use crate::spare::Spare;
use crate::wake::Mailbox;

/// How often a worker asks whether a step is due: a replay that was started or resumed begins within this time.
const POLL: Duration = Duration::from_secs(1);

/// How long a step is waited for; the server's own limit of a statement is 10 s, and a step has several.
const PATIENCE: Duration = Duration::from_secs(30);

/// What makes steps.
pub(crate) struct Replayer {
    pub(crate) pool: Pool,
    pub(crate) spare: Spare,
    pub(crate) clock: Clock,
    /// Our own engine, which need not wait for the notification.
    pub(crate) engine: Mailbox,
}

impl Replayer {
    /// Makes steps until a stop is requested.
    pub(crate) async fn run(&self, shutdown: Shutdown) {
        let mut is_away = false;
        while !shutdown.is_requested() {
            // A step that a stop cuts short is rolled back, and made by somebody else.
            let stepped = tokio::select! {
                () = shutdown.requested() => break,
                stepped = self.step_in_turn() => stepped,
            };
            let wait = match stepped {
                Ok(wait) => {
                    is_away = false;
                    wait
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_away, true) {
                        tracing::warn!(%error, "a step of a replay did not come through; it is tried again");
                    }
                    POLL
                }
            };
            if wait.is_zero() {
                continue;
            }
            tokio::select! {
                () = shutdown.requested() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn step_in_turn(&self) -> Result<Duration, StoreError> {
        let _turn = self.spare.turn().await;
        within(PATIENCE, self.step()).await
    }

    /// Makes a step if one is due, and says how long to wait for the next.
    async fn step(&self) -> Result<Duration, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let now = self.clock.now();
        match replays::next_step_at(&mut connection).await? {
            Some(at) if at <= now => {}
            Some(at) => return Ok((at - now).to_std().unwrap_or_default().min(POLL)),
            None => return Ok(POLL),
        }
        let Some(stepped) = replays::step(&mut connection, now).await? else {
            // Somebody else is making it.
            return Ok(POLL / 4);
        };
        METRICS.replayed.increment(stepped.replayed);
        if stepped.is_done {
            tracing::info!(tenant.id = %stepped.tenant_id, replay.id = %stepped.replay_id, "replay done");
        }
        if stepped.replayed > 0 {
            // What was opened again may be older than all that is open: a look asks for the oldest anew.
            self.engine.post(Wake::Look);
            wake::notify(&mut connection, &Wake::Look).await?;
        }
        Ok(Duration::ZERO)
    }
}
