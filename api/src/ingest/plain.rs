//! Events without a key.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use trunkline_store::StoreError;
use trunkline_store::events::{self, Routing};
use trunkline_store::pool::{limit_statements, within};

use crate::metrics::METRICS;

use super::{BATCH_ENOUGH, BATCH_MAX, Exit, Flusher, GAP, NotStored, STATEMENT_PATIENCE, Stored, Waiting};

/// How long a statement may take that evaluates payload filters: what a filter costs is up to its author.
const FILTER_LIMIT: Duration = Duration::from_millis(250);

/// Whether endpoints that the events may go to have payload filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filters {
    None,
    Some,
}

/// Works until the queue is closed and empty.
pub(super) async fn run(Exit { mut queue, bound }: Exit<()>, flusher: Flusher, filters: Filters) {
    let series = if filters == Filters::None { &METRICS.plain } else { &METRICS.filtered };
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
        flush(&flusher, filters, batch).await;
        if written > 0 {
            bound.note(written, began.elapsed());
            series.note(written, began.elapsed(), queue.len());
        }
    }
}

/// One statement; if the database refuses it for what is in it, each half by itself, so that one poisoned event does not
/// fail its neighbours.
async fn flush(flusher: &Flusher, filters: Filters, batch: Vec<Waiting<()>>) {
    let mut parts = vec![batch];
    while let Some(mut part) = parts.pop() {
        if part.is_empty() {
            continue;
        }
        let is_filters_fault = |error: &StoreError| filters == Filters::Some && error.is_too_slow();
        match write(flusher, filters, &part).await {
            Ok(routing) => {
                flusher.waker.wake_for(routing.endpoints);
                for waiting in part {
                    let event_id = waiting.event.event_id;
                    let is_routed = !routing.unrouted.contains(&event_id);
                    waiting.tell(Ok(Stored { event_id, is_routed, is_replayed: false }));
                }
            }
            // A filter took too long over this payload: it cannot judge it, and what it cannot judge does not match.
            Err(error) if is_filters_fault(&error) && part.len() == 1 && part[0].event.is_judged => {
                part[0].event.is_judged = false;
                parts.push(part);
            }
            Err(error) if (error.retry_after().is_none() || is_filters_fault(&error)) && part.len() > 1 => {
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
}

async fn write(flusher: &Flusher, filters: Filters, part: &[Waiting<()>]) -> Result<Routing, StoreError> {
    let events: Vec<_> = part.iter().map(|waiting| waiting.event.clone()).collect();
    let published = async {
        let mut connection = flusher.pool.acquire().await?;
        if filters == Filters::None {
            return events::publish(&mut connection, &events).await;
        }
        let mut transaction = trunkline_store::begin(&mut connection).await?;
        limit_statements(&mut transaction, FILTER_LIMIT).await?;
        let routing = events::publish(&mut transaction, &events).await?;
        transaction.commit().await?;
        Ok(routing)
    };
    within(STATEMENT_PATIENCE, published).await
}
