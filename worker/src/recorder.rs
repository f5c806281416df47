//! Writes outcomes down, many in one statement: whatever has ended by the time the last statement returned goes into the
//! next.

mod consequences;
mod later;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use trunkline_boot::Clock;
use trunkline_store::deliveries::{self, EndedAttempt, NextStep, Recorded};
use trunkline_store::events::ordering::Line;
use trunkline_store::pool::within;
use trunkline_store::wake::{self, Hint, Wake};
use trunkline_store::{Connection, Pool, StoreError};

use crate::attempt::Ended;
use crate::metrics::METRICS;
use crate::operational::Herald;
use consequences::Consequences;
use later::Later;

/// The most outcomes in one statement: beyond this a larger one is no cheaper per row.
const BATCH_MAX: usize = 500;

/// Between the starts of two statements: under load each takes more along, and costs hardly more than one that takes
/// little. Nobody waits for an outcome to be written; a quiet worker writes at once.
const GAP: Duration = Duration::from_millis(16);

/// Between two tries while the database is away, or somebody holds what is needed.
const RETRY_WAIT: Duration = Duration::from_millis(200);

/// How long a statement is waited for; the server's own limit is 10 s.
const PATIENCE: Duration = Duration::from_secs(12);

/// How long a stop waits for rows that somebody else has locked.
const LOCKED_PATIENCE: Duration = Duration::from_secs(1);

/// Receives ended attempts until every sender is gone, and has written them all by then.
#[derive(Clone)]
pub(crate) struct Recorder {
    /// For outcomes.
    pub(crate) pool: Pool,
    /// For what follows from them.
    pub(crate) engine_pool: Pool,
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
        let mut consequences =
            Consequences::new(self.engine_pool.clone(), self.clock.clone(), self.herald.clone());
        let mut later = Later::default();
        let mut next = Instant::now();
        loop {
            tokio::select! {
                received = ended.recv_many(&mut batch, BATCH_MAX) => {
                    if received == 0 {
                        break;
                    }
                }
                () = tokio::time::sleep_until(later.at), if !later.is_empty() => {}
                () = tokio::time::sleep_until(consequences.at), if consequences.is_open() => {}
            }
            tokio::time::sleep_until(next).await;
            next = Instant::now() + GAP;
            while batch.len() < BATCH_MAX
                && let Ok(one) = ended.try_recv()
            {
                batch.push(one);
            }
            let mut written = Vec::new();
            if !batch.is_empty() {
                count(&batch);
                // While something is held, more of it may be: its lock is not waited out once for each batch.
                let passes_over = !later.outcomes.is_empty();
                let began = Instant::now();
                written = self.write(std::mem::take(&mut batch), passes_over, &mut later).await;
                METRICS.record_seconds.record(began.elapsed().as_secs_f64());
            }
            if later.is_due() {
                written.extend(self.write_later(&mut later).await);
            }
            consequences.apply(&written).await;
        }
        // A stop does not wait for strangers: what they hold comes back when its lease ends.
        let last = async {
            while !later.is_empty() {
                tokio::time::sleep_until(later.at).await;
                consequences.apply(&self.write_later(&mut later).await).await;
            }
        };
        let _ = tokio::time::timeout(LOCKED_PATIENCE, last).await;
        consequences.finish().await;
    }

    /// Writes a batch, however long the database is away, except for outcomes whose lease is over: by then the delivery
    /// belongs to somebody else. Returns those that were written.
    async fn write(&self, mut open: Vec<Ended>, passes_over: bool, later: &mut Later) -> Vec<Ended> {
        let mut written = Vec::with_capacity(open.len());
        let mut told = false;
        loop {
            let now = self.clock.now();
            let before = open.len();
            open.retain(|one| one.leased_until > now);
            METRICS.leases_lost.increment((before - open.len()) as u64);
            if open.is_empty() {
                // Nothing is left by which to see when the database is back; the next outcomes will tell.
                self.stuck.set(false);
                return written;
            }
            let mut fates = vec![Fate::Open; open.len()];
            let result = self.write_or_halve(&open, passes_over, &mut fates, later).await;
            let mut left = Vec::new();
            for (one, fate) in open.into_iter().zip(fates) {
                match fate {
                    Fate::Written => written.push(one),
                    Fate::Locked => later.take(one),
                    Fate::Open => left.push(one),
                    Fate::Lost => METRICS.leases_lost.increment(1),
                }
            }
            open = left;
            if let Err(error) = result {
                self.stuck.set(true);
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, count = open.len(), "outcomes cannot be written; trying until their leases end");
                }
                tokio::time::sleep(RETRY_WAIT).await;
            }
        }
    }

    /// One statement; if the database refuses it for what is in it, each half by itself, so that one outcome does not keep its
    /// neighbours from being written. Rows that somebody holds are passed over: at once, or after their lock was waited for. An error
    /// means that the database is away, and what is open still can be tried again.
    async fn write_or_halve(
        &self,
        all: &[Ended],
        mut passes_over: bool,
        fates: &mut [Fate],
        later: &mut Later,
    ) -> Result<(), StoreError> {
        let mut parts: Vec<_> = std::iter::once(0..all.len()).collect();
        while let Some(part) = parts.pop() {
            let attempts: Vec<&EndedAttempt> = all[part.clone()].iter().map(|one| &one.attempt).collect();
            match within(PATIENCE, self.record(&attempts, passes_over)).await {
                Ok(recorded) => {
                    let fates = &mut fates[part];
                    fates.fill(Fate::Lost);
                    recorded.written.iter().for_each(|index| fates[*index] = Fate::Written);
                    recorded.locked.iter().for_each(|index| fates[*index] = Fate::Locked);
                    later.lines.extend(recorded.unreleased);
                    let is_dead = |index: &&usize| attempts[**index].next == NextStep::GiveUp;
                    METRICS.dead_letters.increment(recorded.written.iter().filter(is_dead).count() as u64);
                }
                Err(StoreError::Locked(_)) if !passes_over => {
                    passes_over = true;
                    parts.push(part);
                }
                Err(StoreError::Locked(_)) if part.len() == 1 => fates[part.start] = Fate::Locked,
                Err(error @ StoreError::Unavailable(_)) if part.len() == 1 || !error.is_too_slow() => {
                    return Err(error);
                }
                Err(error) if part.len() == 1 => {
                    fates[part.start] = Fate::Lost;
                    let event_id = attempts[0].key.event_id;
                    tracing::error!(%error, event.id = %event_id, "an outcome was refused; the delivery comes back when its lease ends");
                }
                Err(_) => {
                    let middle = part.start + part.len() / 2;
                    parts.extend([part.start..middle, middle..part.end]);
                }
            }
        }
        self.stuck.set(false);
        Ok(())
    }

    async fn record(&self, attempts: &[&EndedAttempt], passes_over: bool) -> Result<Recorded, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let now = self.clock.now();
        let recorded = if passes_over {
            deliveries::record_free(&mut connection, attempts, &self.worker_name, now).await?
        } else {
            deliveries::record_in_order(&mut connection, attempts, &self.worker_name, now).await?
        };
        tell(&mut connection, &recorded.released, Wake::of).await;
        Ok(recorded)
    }

    /// Tries again what was held when its time had come. Returns the outcomes that were written.
    async fn write_later(&self, later: &mut Later) -> Vec<Ended> {
        later.at = Instant::now() + RETRY_WAIT;
        let mut written = Vec::new();
        let outcomes = later.take_outcomes();
        if !outcomes.is_empty() {
            written = self.write(outcomes, true, later).await;
        }
        let lines: Vec<Line> = later.take_lines();
        if !lines.is_empty() {
            let released = async {
                let mut connection = self.pool.acquire().await?;
                let (released, unreleased) =
                    deliveries::release_free(&mut connection, lines, self.clock.now()).await?;
                // The day of the delivery before may have nothing due any more, so that claims begin behind it.
                tell(&mut connection, &released, |_| Wake::Look).await;
                Ok(unreleased)
            };
            match within(PATIENCE, released).await {
                Ok(unreleased) => later.lines.extend(unreleased),
                Err(error) => {
                    tracing::warn!(%error, "what waits by an ordering key could not be let go; upkeep does so within a minute");
                }
            }
        }
        written
    }
}

/// The delivery before is done; losing this costs a poll.
async fn tell(connection: &mut Connection, released: &[Hint], wake: impl Fn(Vec<Hint>) -> Wake) {
    if !released.is_empty() {
        let _ = wake::notify(connection, &wake(released.to_vec())).await;
    }
}

/// What became of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is not written yet.
    Open,
    Written,
    /// Somebody holds its row.
    Locked,
    /// Its lease is over, or the database refused it.
    Lost,
}

fn count(batch: &[Ended]) {
    METRICS.record_batch.record(batch.len() as f64);
    for one in batch {
        METRICS.count_attempt(one.attempt.outcome, one.attempt.duration_ms);
    }
}
