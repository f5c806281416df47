//! Events with an Idempotency-Key: the key and the event in one transaction, so that a key never names an event that is
//! not there, and no event is made twice for one key.

use std::collections::HashSet;

use bytes::Bytes;
use chrono::Duration;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::Instant;
use trunkline_domain::{EventId, EventStatus, NewEvent};
use trunkline_store::events::{self, Filters, Routing};
use trunkline_store::idempotency::{self, KeyClaim};
use trunkline_store::pool::within;
use trunkline_store::{PgConnection, StoreError};

use crate::metrics::METRICS;

use super::bound::QueueBound;
use super::{BATCH_MAX, Exit, Flusher, Idempotency, NotStored, STATEMENT_PATIENCE, Stored, Waiting};

/// How long a key is remembered.
pub(super) const REMEMBERED: Duration = Duration::hours(24);

/// Keys asked for one by one at a time, after somebody else held one of a batch.
pub(super) const ONE_BY_ONE_MAX: usize = 4;

/// How long a key that somebody else holds is waited for: the statement's own limit is a second.
const WAIT: std::time::Duration = std::time::Duration::from_millis(750);

/// How long a batch waits for one of its keys, before each is asked for by itself.
const HASTY_WAIT: std::time::Duration = std::time::Duration::from_millis(50);

type Keyed = Waiting<Idempotency>;

/// What a key names: the event, and the body that it is bound to.
#[derive(Clone)]
pub(super) struct Holder {
    stored: Stored,
    body_sha256: Vec<u8>,
}

/// Works until the queue is closed and empty.
pub(super) async fn run(Exit { mut queue, bound }: Exit<Idempotency>, flusher: Flusher) {
    loop {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        if queue.recv_many(&mut batch, BATCH_MAX).await == 0 {
            return;
        }
        batch.retain(|waiting| !waiting.is_abandoned());
        let (began, written) = (Instant::now(), batch.len());
        flush(&flusher, &bound, batch).await;
        METRICS.keyed.note(written, began.elapsed(), queue.len());
    }
}

/// In order of tenant and key, so that two processes wait for each other in one direction only. Equal keys are folded
/// first: one of them asks the database, and all are answered by what the key names then.
async fn flush(flusher: &Flusher, bound: &QueueBound, mut batch: Vec<Keyed>) {
    let name = |one: &Keyed| (one.event.tenant_id.clone(), one.key.key.clone());
    batch.sort_by_cached_key(name);
    let mut firsts: Vec<Keyed> = Vec::new();
    let mut repeats = Vec::new();
    for waiting in batch {
        match firsts.last() {
            Some(first) if name(first) == name(&waiting) => repeats.push((firsts.len() - 1, waiting)),
            _ => firsts.push(waiting),
        }
    }
    let holders = holders(flusher, bound, &firsts).await;
    for (index, waiting) in repeats {
        let result =
            holders[index].as_ref().map_err(|reason| *reason).and_then(|holder| answer(holder, &waiting.key));
        waiting.tell(result.map(|stored| Stored { is_replayed: true, ..stored }));
    }
    for (waiting, holder) in firsts.into_iter().zip(holders) {
        let result = holder.and_then(|holder| answer(&holder, &waiting.key));
        waiting.tell(result);
    }
}

/// What whoever comes with this key and body is answered.
pub(super) fn answer(holder: &Holder, key: &Idempotency) -> Result<Stored, NotStored> {
    if holder.body_sha256 == key.body_sha256 { Ok(holder.stored) } else { Err(NotStored::KeyReused) }
}

/// What each key names afterwards. All at once; where that fails because of one of them, each by itself, so that a key
/// that somebody else holds keeps nobody else waiting.
async fn holders(flusher: &Flusher, bound: &QueueBound, firsts: &[Keyed]) -> Vec<Result<Holder, NotStored>> {
    let (is_alone, began) = (firsts.len() == 1, Instant::now());
    match within(STATEMENT_PATIENCE, write(flusher, firsts, !is_alone, Filters::Apart)).await {
        Ok(holders) => {
            // One that waited for a key in other hands would tell nothing of the database.
            bound.note(firsts.len(), began.elapsed());
            holders
        }
        Err(error) if is_final(&error, is_alone) => {
            vec![Err(reason(&error)); firsts.len()]
        }
        Err(_) => {
            let alone: Vec<_> = firsts.iter().map(|one| write_alone(flusher, one)).collect();
            stream::iter(alone).buffered(ONE_BY_ONE_MAX).collect().await
        }
    }
}

/// Whether asking for each key by itself would change nothing.
fn is_final(error: &StoreError, is_alone: bool) -> bool {
    match error {
        StoreError::Unavailable(_) => true,
        StoreError::JudgedApart(_) => false,
        _ => is_alone,
    }
}

async fn write_alone(flusher: &Flusher, one: &Keyed) -> Result<Holder, NotStored> {
    let one = std::slice::from_ref(one);
    let written = within(STATEMENT_PATIENCE, write(flusher, one, false, Filters::Judged)).await;
    written.map_or_else(|error| Err(reason(&error)), |mut one| one.remove(0))
}

pub(super) fn reason(error: &StoreError) -> NotStored {
    match error {
        StoreError::Locked(_) => NotStored::KeyBusy,
        error if error.retry_after().is_some() => NotStored::Unavailable,
        _ => NotStored::Refused,
    }
}

/// One transaction: claims the keys, stores the events of those that were free, and looks up the others.
async fn write(
    flusher: &Flusher,
    firsts: &[Keyed],
    is_hasty: bool,
    filters: Filters,
) -> Result<Vec<Result<Holder, NotStored>>, StoreError> {
    let now = flusher.clock.now();
    let claims: Vec<KeyClaim> = firsts.iter().map(|one| claim_of(&one.event, &one.key)).collect();
    let mut connection = flusher.pool.acquire().await?;
    let mut transaction = trunkline_store::begin(&mut connection).await?;
    let wait = if is_hasty { HASTY_WAIT } else { WAIT };
    idempotency::wait_at_most(&mut transaction, wait).await?;
    let won = idempotency::claim(&mut transaction, &claims, now, now + REMEMBERED).await?;
    let won: HashSet<EventId> = won.into_iter().collect();
    let is_new = |one: &&Keyed| won.contains(&one.event.event_id);
    let new: Vec<_> = firsts.iter().filter(is_new).map(|one| one.event.clone()).collect();
    let routing = if new.is_empty() {
        Routing::default()
    } else {
        events::publish(&mut transaction, &new, filters).await?
    };
    let mut holders = Vec::with_capacity(firsts.len());
    for one in firsts {
        let event_id = one.event.event_id;
        holders.push(if won.contains(&event_id) {
            let stored =
                Stored { event_id, is_routed: !routing.unrouted.contains(&event_id), is_replayed: false };
            Ok(Holder { stored, body_sha256: one.key.body_sha256.to_vec() })
        } else {
            find(&mut transaction, &one.event, &one.key).await?
        });
    }
    transaction.commit().await.map_err(StoreError::from)?;
    flusher.waker.wake_for(routing.endpoints);
    Ok(holders)
}

pub(super) async fn find(
    connection: &mut PgConnection,
    event: &NewEvent<Bytes>,
    key: &Idempotency,
) -> Result<Result<Holder, NotStored>, StoreError> {
    let Some(found) = idempotency::find(connection, event.lane, &event.tenant_id, &key.key).await? else {
        // It expired and was swept in between: the next try gets it.
        return Ok(Err(NotStored::KeyBusy));
    };
    let status = events::status(connection, event.lane, &event.tenant_id, found.event_id).await?;
    let is_routed = status != Some(EventStatus::Unrouted);
    let stored = Stored { event_id: found.event_id, is_routed, is_replayed: true };
    Ok(Ok(Holder { stored, body_sha256: found.body_sha256 }))
}

pub(super) fn claim_of(event: &NewEvent<Bytes>, key: &Idempotency) -> KeyClaim {
    KeyClaim {
        lane: event.lane,
        tenant_id: event.tenant_id.clone(),
        key: key.key.clone(),
        body_sha256: key.body_sha256,
        event_id: event.event_id,
    }
}
