//! Writes outcomes down, many in one statement: whatever has ended by the time the last statement returned goes into the
//! next.

mod consequences;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use trunkline_boot::Clock;
use trunkline_store::deliveries::{self, EndedAttempt, NextStep};
use trunkline_store::pool::within;
use trunkline_store::wake::{self, Wake};
use trunkline_store::{Pool, StoreError};

use crate::attempt::Ended;
use crate::metrics::METRICS;
use crate::operational::Herald;
use consequences::Consequences;

/// The most outcomes in one statement: beyond this a larger one is no cheaper per row.
const BATCH_MAX: usize = 500;

/// Between the starts of two statements: under load each takes more along, and costs hardly more than one that takes
/// little. Nobody waits for an outcome to be written; a quiet worker writes at once.
const GAP: Duration = Duration::from_millis(16);

/// Between two tries while the database is away.
const RETRY_WAIT: Duration = Duration::from_millis(200);

/// How long a statement is waited for; the server's own limit is 10 s.
const PATIENCE: Duration = Duration::from_secs(12);

/// How long a stop waits for rows that somebody else has locked.
const LOCKED_PATIENCE: Duration = Duration::from_secs(1);

/// Receives ended attempts until every sender is gone, and has written them all by then.
#[derive(Clone)]
pub(crate) struct Recorder {
    pub(crate) pool: Pool,
    pub(crate) clock: Clock,
    pub(crate) worker_name: String,
    pub(crate) stuck: Stuck,
    /// Told what tenants should hear of.
    pub(crate) herald: Herald,
}

/// Whether outcomes cannot be written at the moment. While that is so nothing more is sent: it would be sent again.
#[derive(Clone, Default)]
pub(crate) struct Stuck(Arc<AtomicBool>);

impl Stuck {
    pub(crate) fn is_stuck(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, stuck: bool) {
        self.0.store(stuck, Ordering::Relaxed);
    }
}

impl Recorder {
    pub(crate) async fn run(&self, ended: &mut mpsc::Receiver<Ended>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let mut consequences = Consequences::new(self.pool.clone(), self.clock.clone(), self.herald.clone());
        let mut next = Instant::now();
        // Outcomes of rows that somebody else has locked: tried one at a time, beside the others.
        let (mut locked, turn) = (JoinSet::new(), Arc::new(Semaphore::new(1)));
        while ended.recv_many(&mut batch, BATCH_MAX).await > 0 {
            tokio::time::sleep_until(next).await;
            next = Instant::now() + GAP;
            while batch.len() < BATCH_MAX
                && let Ok(one) = ended.try_recv()
            {
                batch.push(one);
            }
            count(&batch);
            let began = Instant::now();
            for one in self.write(&batch).await {
                locked.spawn(self.clone().write_locked(one, turn.clone()));
            }
            METRICS.record_seconds.record(began.elapsed().as_secs_f64());
            consequences.apply(&batch).await;
            batch.clear();
            while locked.try_join_next().is_some() {}
        }
        consequences.finish().await;
        // A stop does not wait for strangers: what they hold comes back when its lease ends.
        let _ = tokio::time::timeout(LOCKED_PATIENCE, locked.join_all()).await;
    }

    /// Writes a batch, however long the database is away, except for outcomes whose lease is over: by then the delivery
    /// belongs to somebody else. Returns those whose rows are locked.
    async fn write(&self, batch: &[Ended]) -> Vec<Pending> {
        let mut open: Vec<Pending> = batch.iter().map(Pending::of).collect();
        let mut told = false;
        loop {
            let now = self.clock.now();
            let before = open.len();
            open.retain(|one| one.leased_until > now);
            METRICS.leases_lost.increment((before - open.len()) as u64);
            if open.is_empty() {
                // Nothing is left by which to see when the database is back; the next outcomes will tell.
                self.stuck.set(false);
                return Vec::new();
            }
            match self.write_or_halve(&open).await {
                Ok(locked) => {
                    self.stuck.set(false);
                    return locked;
                }
                Err(error) => {
                    self.stuck.set(true);
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(%error, count = open.len(), "outcomes cannot be written; trying until their leases end");
                    }
                    tokio::time::sleep(RETRY_WAIT).await;
                }
            }
        }
    }

    /// One statement; if the database refuses it for what is in it, or somebody holds one of its rows, each half by itself,
    /// so that one outcome does not keep its neighbours from being written. Returns those whose rows are locked. An error
    /// means that the database is away, and all can be tried again.
    async fn write_or_halve(&self, all: &[Pending]) -> Result<Vec<Pending>, StoreError> {
        let mut locked = Vec::new();
        let mut parts = vec![all];
        while let Some(part) = parts.pop() {
            let attempts: Vec<EndedAttempt> = part.iter().map(|one| one.attempt.clone()).collect();
            let recorded = async {
                let mut connection = self.pool.acquire().await?;
                let now = self.clock.now();
                let (recorded, released) =
                    deliveries::record_in_order(&mut connection, &attempts, &self.worker_name, now).await?;
                if !released.is_empty() {
                    // The delivery before is done; losing this costs a poll.
                    let _ = wake::notify(&mut connection, &Wake::of(released)).await;
                }
                Ok(recorded)
            };
            match within(PATIENCE, recorded).await {
                Ok(recorded) => self.note(&attempts, recorded),
                Err(StoreError::Unavailable(error)) => return Err(StoreError::Unavailable(error)),
                Err(StoreError::Locked(_)) if part.len() == 1 => locked.extend_from_slice(part),
                Err(error) if part.len() == 1 => {
                    let event_id = part[0].attempt.key.event_id;
                    tracing::error!(%error, event.id = %event_id, "an outcome was refused; the delivery comes back when its lease ends");
                }
                Err(_) => {
                    let (left, right) = part.split_at(part.len() / 2);
                    parts.extend([left, right]);
                }
            }
        }
        Ok(locked)
    }

    /// Tries one outcome until it is written or its lease ends.
    async fn write_locked(self, one: Pending, turn: Arc<Semaphore>) {
        while one.leased_until > self.clock.now() {
            tokio::time::sleep(RETRY_WAIT).await;
            let _turn = turn.acquire().await;
            if self.write_or_halve(std::slice::from_ref(&one)).await.is_ok_and(|locked| locked.is_empty()) {
                return;
            }
        }
        METRICS.leases_lost.increment(1);
    }

    fn note(&self, part: &[EndedAttempt], recorded: usize) {
        let lost = part.len().saturating_sub(recorded);
        METRICS.leases_lost.increment(lost as u64);
        let dead = part.iter().filter(|one| one.next == NextStep::GiveUp).count();
        METRICS.dead_letters.increment(dead as u64);
    }
}

/// An outcome that is not written yet.
#[derive(Clone)]
struct Pending {
    attempt: EndedAttempt,
    leased_until: DateTime<Utc>,
}

impl Pending {
    fn of(ended: &Ended) -> Self {
        Self { attempt: ended.attempt.clone(), leased_until: ended.leased_until }
    }
}

fn count(batch: &[Ended]) {
    METRICS.record_batch.record(batch.len() as f64);
    for one in batch {
        METRICS.count_attempt(one.attempt.outcome, one.attempt.duration_ms);
    }
}
