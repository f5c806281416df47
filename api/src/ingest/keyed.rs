//! Events with an Idempotency-Key: the key and the event in one transaction, so that a key never names an event that is
//! not there, and no event is made twice for one key.

use std::collections::HashSet;

use chrono::Duration;
use tokio::sync::mpsc;
use trunkline_domain::{EventId, EventStatus};
use trunkline_store::idempotency::{self, KeyClaim};
use trunkline_store::{StoreError, events};

use super::{BATCH_MAX, Flusher, Idempotency, NotStored, Stored, Waiting};

/// How long a key is remembered.
const REMEMBERED: Duration = Duration::hours(24);

type Keyed = Waiting<Idempotency>;

pub(super) async fn run(mut queue: mpsc::Receiver<Keyed>, flusher: Flusher) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
        flush(&flusher, std::mem::take(&mut batch)).await;
    }
}

/// In order of tenant and key, so that two processes wait for each other in one direction only. Equal keys are folded
/// first: one of them asks the database, the others are answered by what comes of it.
async fn flush(flusher: &Flusher, mut batch: Vec<Keyed>) {
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
    let outcomes = match write(flusher, &firsts).await {
        Ok(outcomes) => outcomes,
        // One key that somebody else holds must not fail the others.
        Err(_) if firsts.len() > 1 => one_by_one(flusher, &firsts).await,
        Err(error) => vec![Err(reason(&error)); firsts.len()],
    };
    for (index, waiting) in repeats {
        let is_same = firsts[index].key.body_sha256 == waiting.key.body_sha256;
        waiting.tell(match outcomes[index] {
            Ok(_) if !is_same => Err(NotStored::KeyReused),
            Ok(stored) => Ok(Stored {
                is_replayed: true,
                ..stored
            }),
            Err(reason) => Err(reason),
        });
    }
    for (waiting, outcome) in firsts.into_iter().zip(outcomes) {
        waiting.tell(outcome);
    }
}

async fn one_by_one(flusher: &Flusher, firsts: &[Keyed]) -> Vec<Result<Stored, NotStored>> {
    let mut outcomes = Vec::with_capacity(firsts.len());
    for one in firsts {
        let written = write(flusher, std::slice::from_ref(one)).await;
        outcomes.push(written.map_or_else(|error| Err(reason(&error)), |mut one| one.remove(0)));
    }
    outcomes
}

fn reason(error: &StoreError) -> NotStored {
    match error {
        StoreError::Locked(_) => NotStored::KeyBusy,
        error if error.retry_after().is_some() => NotStored::Unavailable,
        _ => NotStored::Refused,
    }
}

/// One transaction: claims the keys, stores the events of those that were free, and looks up the others.
async fn write(flusher: &Flusher, firsts: &[Keyed]) -> Result<Vec<Result<Stored, NotStored>>, StoreError> {
    let now = flusher.clock.now();
    let claims: Vec<KeyClaim> = firsts.iter().map(claim_of).collect();
    let mut connection = flusher.pool.acquire().await?;
    let mut transaction = trunkline_store::begin(&mut connection).await?;
    let won: HashSet<EventId> = idempotency::claim(&mut transaction, &claims, now, now + REMEMBERED)
        .await?
        .into_iter()
        .collect();
    let new: Vec<_> = firsts
        .iter()
        .filter(|one| won.contains(&one.event.event_id))
        .map(|one| one.event.clone())
        .collect();
    let unrouted = if new.is_empty() {
        Vec::new()
    } else {
        events::publish(&mut transaction, &new).await?
    };
    let mut outcomes = Vec::with_capacity(firsts.len());
    for one in firsts {
        let event_id = one.event.event_id;
        outcomes.push(if won.contains(&event_id) {
            Ok(Stored {
                event_id,
                is_routed: !unrouted.contains(&event_id),
                is_replayed: false,
            })
        } else {
            held_by_another(&mut transaction, one).await?
        });
    }
    transaction.commit().await.map_err(StoreError::from)?;
    if !new.is_empty() {
        flusher.waker.wake();
    }
    Ok(outcomes)
}

async fn held_by_another(
    connection: &mut trunkline_store::PgConnection,
    one: &Keyed,
) -> Result<Result<Stored, NotStored>, StoreError> {
    let event = &one.event;
    let Some(holder) = idempotency::find(connection, event.lane, &event.tenant_id, &one.key.key).await?
    else {
        // It expired and was swept in between: the next try gets it.
        return Ok(Err(NotStored::KeyBusy));
    };
    if holder.body_sha256 != one.key.body_sha256 {
        return Ok(Err(NotStored::KeyReused));
    }
    let status = events::status(connection, event.lane, &event.tenant_id, holder.event_id).await?;
    let is_routed = status != Some(EventStatus::Unrouted);
    Ok(Ok(Stored {
        event_id: holder.event_id,
        is_routed,
        is_replayed: true,
    }))
}

fn claim_of(waiting: &Keyed) -> KeyClaim {
    KeyClaim {
        lane: waiting.event.lane,
        tenant_id: waiting.event.tenant_id.clone(),
        key: waiting.key.key.clone(),
        body_sha256: waiting.key.body_sha256,
        event_id: waiting.event.event_id,
    }
}
