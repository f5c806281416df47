//! Events without a key.

use tokio::time::{Instant, timeout_at};
use trunkline_store::StoreError;
use trunkline_store::events::{self, Filters, Routing};
use trunkline_store::pool::within;

use crate::metrics::METRICS;

use super::filtered::FairQueue;
use super::{BATCH_ENOUGH, BATCH_MAX, Exit, Flusher, GAP, NotStored, STATEMENT_PATIENCE, Stored, Waiting};

/// Works until the queue is closed and empty. Events of a tenant that has payload filters since a moment go over to `filtered`.
pub(super) async fn run(Exit { queue, bound }: &mut Exit<()>, flusher: &Flusher, filtered: &FairQueue) {
    let (mut last, mut next) = (0, Instant::now());
    loop {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        if queue.recv_many(&mut batch, BATCH_MAX).await == 0 {
            return;
        }
        // As many as last time are on their way, if they come in time.
        while batch.len() < last.min(BATCH_ENOUGH)
            && let Ok(1..) = timeout_at(next, queue.recv_many(&mut batch, BATCH_MAX)).await
        {}
        let began = Instant::now();
        (last, next) = (batch.len(), began + GAP);
        batch.retain(|waiting| !waiting.is_abandoned());
        let written = batch.len();
        for waiting in flush(flusher, Filters::Apart, batch).await {
            filtered.put(waiting);
        }
        if written > 0 {
            bound.note(written, began.elapsed());
            METRICS.plain.note(written, began.elapsed(), queue.len());
        }
    }
}

/// One statement; if the database refuses it for what is in it, each half by itself, so that one poisoned event does not
/// fail its neighbours. Returns the events that are to be judged by filters, or by heavier ones than they were counted by.
pub(super) async fn flush(
    flusher: &Flusher,
    filters: Filters<'static>,
    batch: Vec<Waiting<()>>,
) -> Vec<Waiting<()>> {
    let (mut parts, mut apart) = (vec![batch], Vec::new());
    while let Some(mut part) = parts.pop() {
        if part.is_empty() {
            continue;
        }
        match write(flusher, filters, &part).await {
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
    filters: Filters<'static>,
    part: &[Waiting<()>],
) -> Result<Routing, StoreError> {
    let events: Vec<_> = part.iter().map(|waiting| waiting.event.clone()).collect();
    let weights: Vec<u64> = part.iter().map(|waiting| waiting.filter_weight.unwrap_or(u64::MAX)).collect();
    let filters = if filters == Filters::Judged { Filters::JudgedWithin(&weights) } else { filters };
    let published = async {
        let mut connection = flusher.pool.acquire().await?;
        events::publish(&mut connection, &events, filters).await
    };
    within(STATEMENT_PATIENCE, published).await
}
