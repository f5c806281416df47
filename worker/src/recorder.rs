//! Writes outcomes down, many in one statement: whatever has ended by the time the last statement returned goes into the
//! next.

mod consequences;

use std::time::Duration;

use metrics::{counter, histogram};
use tokio::sync::mpsc;
use tokio::time::Instant;
use trunkline_boot::Clock;
use trunkline_store::deliveries::{self, EndedAttempt, NextStep};
use trunkline_store::{Pool, StoreError};

use crate::attempt::Ended;

/// The most outcomes in one statement: beyond this a larger one is no cheaper per row.
const BATCH_MAX: usize = 500;

/// Between the starts of two statements: under load each takes more along, and costs hardly more than one that takes
/// little. Nobody waits for an outcome to be written; a quiet worker writes at once.
const GAP: Duration = Duration::from_millis(8);

/// Between two tries while the database is away.
const RETRY_WAIT: Duration = Duration::from_millis(200);

/// Receives ended attempts until every sender is gone, and has written them all by then.
pub(crate) struct Recorder {
    pub(crate) pool: Pool,
    pub(crate) clock: Clock,
    pub(crate) worker_name: String,
}

impl Recorder {
    pub(crate) async fn run(self, mut ended: mpsc::Receiver<Ended>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let mut next = Instant::now();
        while ended.recv_many(&mut batch, BATCH_MAX).await > 0 {
            tokio::time::sleep_until(next).await;
            next = Instant::now() + GAP;
            while batch.len() < BATCH_MAX
                && let Ok(one) = ended.try_recv()
            {
                batch.push(one);
            }
            histogram!("trunkline_worker_record_batch").record(batch.len() as f64);
            for one in &batch {
                let outcome = one.attempt.outcome.as_str();
                counter!("trunkline_worker_attempts_total", "outcome" => outcome).increment(1);
                histogram!("trunkline_worker_attempt_seconds")
                    .record(f64::from(one.attempt.duration_ms) / 1_000.0);
            }
            self.write(&batch).await;
            consequences::apply(&self.pool, &self.clock, &batch).await;
            batch.clear();
        }
    }

    /// Writes a batch, however long the database is away, except for outcomes whose lease is over: by then the delivery
    /// belongs to somebody else.
    async fn write(&self, batch: &[Ended]) {
        let mut told = false;
        loop {
            let now = self.clock.now();
            let ours: Vec<EndedAttempt> =
                batch.iter().filter(|one| one.leased_until > now).map(|one| one.attempt.clone()).collect();
            if ours.is_empty() {
                counter!("trunkline_worker_leases_lost_total").increment(batch.len() as u64);
                return;
            }
            match self.write_or_halve(&ours).await {
                Ok(()) => return,
                Err(error) => {
                    if !told {
                        told = true;
                        tracing::warn!(%error, count = ours.len(), "outcomes cannot be written; trying until their leases end");
                    }
                    tokio::time::sleep(RETRY_WAIT).await;
                }
            }
        }
    }

    /// One statement; if the database refuses it for what is in it, each half by itself, so that a poisoned outcome
    /// does not take its neighbours along. An error means that the database is away, and all can be tried again.
    async fn write_or_halve(&self, attempts: &[EndedAttempt]) -> Result<(), StoreError> {
        let mut parts = vec![attempts];
        while let Some(part) = parts.pop() {
            let mut connection = self.pool.acquire().await?;
            match deliveries::record(&mut connection, part, &self.worker_name, self.clock.now()).await {
                Ok(recorded) => self.note(part, recorded),
                Err(error) if error.retry_after().is_some() => return Err(error),
                Err(error) if part.len() == 1 => {
                    let event_id = part[0].key.event_id;
                    tracing::error!(%error, event.id = %event_id, "an outcome was refused; the delivery comes back when its lease ends");
                }
                Err(_) => {
                    let (left, right) = part.split_at(part.len() / 2);
                    parts.extend([left, right]);
                }
            }
        }
        Ok(())
    }

    fn note(&self, part: &[EndedAttempt], recorded: usize) {
        let lost = part.len().saturating_sub(recorded);
        counter!("trunkline_worker_leases_lost_total").increment(lost as u64);
        let dead = part.iter().filter(|one| one.next == NextStep::GiveUp).count();
        counter!("trunkline_worker_dead_letters_total").increment(dead as u64);
    }
}
