//! Events without a key.

use futures_util::future::join_all;
use tokio::sync::{Mutex, MutexGuard, mpsc};
use tokio::time::{Instant, timeout_at};
use trunkline_store::StoreError;
use trunkline_store::events::{self, Filters, Routing};
use trunkline_store::pool::within;

use crate::metrics::METRICS;

use super::bound::QueueBound;
use super::filtered::FairQueue;
use super::{BATCH_ENOUGH, BATCH_MAX, Exit, Flusher, GAP, NotStored, STATEMENT_PATIENCE, Stored, Waiting};

/// Two flushers that take turns with a queue: while one waits for the disk, the next batch is written already. Two that wrote at the
/// same time would share the same events, and a statement costs the server as much as ten of them.
pub(super) const FLUSHERS: u32 = 2;

/// Works until the queue is closed and empty. Events of a tenant that has payload filters since a moment go over to `filtered`.
pub(super) async fn run(Exit { queue, bound }: Exit<()>, flusher: Flusher, filtered: &FairQueue) {
    let turn = Mutex::new(Turn { queue, last: 0, next: Instant::now() });
    join_all((0..FLUSHERS).map(|_| work(&turn, &bound, &flusher, filtered))).await;
}

/// What the flusher has whose turn it is: the next batch, and what the last one tells about it.
pub(super) struct Turn {
    queue: mpsc::Receiver<Waiting<()>>,
    /// Events in the last batch.
    last: usize,
    /// Until when the next one waits to become as large.
    next: Instant,
}

impl Turn {
    /// What is there, and what comes in time; `None` when the queue is closed and empty.
    async fn gather(&mut self) -> Option<Vec<Waiting<()>>> {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        if self.queue.recv_many(&mut batch, BATCH_MAX).await == 0 {
            return None;
        }
        // As many as last time are on their way, if they come in time.
        while batch.len() < self.last.min(BATCH_ENOUGH)
            && let Ok(1..) = timeout_at(self.next, self.queue.recv_many(&mut batch, BATCH_MAX)).await
        {
        }
        (self.last, self.next) = (batch.len(), Instant::now() + GAP);
        batch.retain(|waiting| !waiting.is_abandoned());
        Some(batch)
    }
}

async fn work(turn: &Mutex<Turn>, bound: &QueueBound, flusher: &Flusher, filtered: &FairQueue) {
    loop {
        let mut turn = turn.lock().await;
        let Some(batch) = turn.gather().await else { return };
        let (began, count, waiting) = (Instant::now(), batch.len(), turn.queue.len());
        for waiting in flush(flusher, Filters::Apart, batch, Some(turn)).await {
            filtered.put(waiting, None);
        }
        if count > 0 {
            bound.note(count, began.elapsed());
            METRICS.plain.note(count, began.elapsed(), waiting);
        }
    }
}

/// One statement; if the database refuses it for what is in it, each half by itself, so that one poisoned event does not
/// fail its neighbours. Whose turn it is ends it when the first statement is through; whoever waits is answered after its commit.
/// Returns the events that are to be judged by filters, if they were not to be among these.
pub(super) async fn flush(
    flusher: &Flusher,
    filters: Filters,
    batch: Vec<Waiting<()>>,
    mut turn: Option<MutexGuard<'_, Turn>>,
) -> Vec<Waiting<()>> {
    let (mut parts, mut apart) = (vec![batch], Vec::new());
    while let Some(mut part) = parts.pop() {
        if part.is_empty() {
            continue;
        }
        match write(flusher, filters, &part, &mut turn).await {
            Ok(routing) => {
                flusher.waker.wake_for(routing.endpoints);
                for waiting in part {
                    let event_id = waiting.event.event_id;
                    let is_routed = !routing.unrouted.contains(&event_id);
                    waiting.tell(Ok(Stored { event_id, is_routed, is_replayed: false }));
                }
            }
            Err(StoreError::JudgedApart(tenant_id)) if part.iter().any(|one| is_of(one, &tenant_id)) => {
                let (theirs, others) = part.into_iter().partition(|one| is_of(one, &tenant_id));
                apart.extend::<Vec<_>>(theirs);
                parts.push(others);
            }
            Err(error) if error.retry_after().is_none() && part.len() > 1 => {
                let right = part.split_off(part.len() / 2);
                parts.extend([part, right]);
            }
            Err(error) => {
                let reason =
                    if error.retry_after().is_some() { NotStored::Unavailable } else { NotStored::Refused };
                tracing::warn!(%error, count = part.len(), "events could not be stored; their publishers were told");
                part.into_iter().for_each(|waiting| waiting.tell(Err(reason)));
            }
        }
    }
    apart
}

fn is_of(waiting: &Waiting<()>, tenant_id: &str) -> bool {
    waiting.event.tenant_id.as_str() == tenant_id
}

async fn write(
    flusher: &Flusher,
    filters: Filters,
    part: &[Waiting<()>],
    turn: &mut Option<MutexGuard<'_, Turn>>,
) -> Result<Routing, StoreError> {
    let events: Vec<_> = part.iter().map(|waiting| waiting.event.clone()).collect();
    let published = async {
        let mut connection = flusher.pool.acquire().await?;
        let mut transaction = trunkline_store::begin(&mut connection).await?;
        let routing = events::publish(&mut transaction, &events, filters).await?;
        // What is left is waiting for the disk.
        *turn = None;
        transaction.commit().await?;
        Ok(routing)
    };
    within(STATEMENT_PATIENCE, published).await
}
