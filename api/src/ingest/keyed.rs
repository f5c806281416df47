//! Events with an Idempotency-Key: the key and the event in one transaction, so that a key never names an event that is
//! not there, and no event is made twice for one key.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use chrono::Duration;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use trunkline_domain::{EventId, EventStatus, NewEvent};
use trunkline_store::events::{self, Filters, Routing};
use trunkline_store::idempotency::{self, KeyClaim};
use trunkline_store::pool::within;
use trunkline_store::{Connection, StoreError};

use crate::metrics::METRICS;

use super::bound::QueueBound;
use super::{BATCH_MAX, Exit, Flusher, Idempotency, NotStored, STATEMENT_PATIENCE, Stored, Waiting};

/// How long a key is remembered.
pub(super) const REMEMBERED: Duration = Duration::hours(24);

/// Keys asked for one by one at a time, after somebody else held one of a batch.
pub(super) const ONE_BY_ONE_MAX: usize = 2;

/// Keys in other hands that are waited for at one time.
pub(super) const PATIENT_MAX: usize = 2;

/// How long such a key is waited for, from when it was asked for: its publisher must still hear of it within a second or so.
const WAIT: std::time::Duration = std::time::Duration::from_millis(700);

/// How long anybody waits for a key while others wait behind them.
const HASTY_WAIT: std::time::Duration = std::time::Duration::from_millis(50);

type Keyed = Waiting<Idempotency>;

/// What a key names: the event, and the body that it is bound to.
#[derive(Clone)]
pub(super) struct Holder {
    stored: Stored,
    body_sha256: Vec<u8>,
}

/// A key, who asked for it first, and who came with it meanwhile.
struct Asked {
    first: Keyed,
    repeats: Vec<Keyed>,
}

impl Asked {
    /// Answers all of them by what the key names.
    fn tell(self, holder: Result<Holder, NotStored>) {
        let answer = |key: &Idempotency| {
            holder.as_ref().map_err(|reason| *reason).and_then(|holder| answer(holder, key))
        };
        for repeat in self.repeats {
            let result = answer(&repeat.key).map(|stored| Stored { is_replayed: true, ..stored });
            repeat.tell(result);
        }
        let result = answer(&self.first.key);
        self.first.tell(result);
    }
}

/// Keys in other hands, each waited for by itself, so that the queue goes on.
struct Patient {
    under_way: JoinSet<()>,
    turns: Arc<Semaphore>,
}

impl Patient {
    fn wait_for(&mut self, flusher: &Flusher, asked: Asked) {
        let (flusher, turns) = (flusher.clone(), self.turns.clone());
        self.under_way.spawn(async move {
            let until = asked.first.since + WAIT;
            let holder = match timeout_at(until, turns.acquire()).await {
                Ok(Ok(_turn)) => write_alone(&flusher, &asked.first, Some(until)).await,
                _ => Err(NotStored::KeyBusy),
            };
            asked.tell(holder);
        });
    }
}

/// Works until the queue is closed and empty.
pub(super) async fn run(Exit { queue, bound }: &mut Exit<Idempotency>, flusher: &Flusher) {
    let mut patient = Patient { under_way: JoinSet::new(), turns: Arc::new(Semaphore::new(PATIENT_MAX)) };
    loop {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        if queue.recv_many(&mut batch, BATCH_MAX).await == 0 {
            break;
        }
        batch.retain(|waiting| !waiting.is_abandoned());
        let (began, written) = (Instant::now(), batch.len());
        flush(flusher, bound, batch, &mut patient).await;
        METRICS.keyed.note(written, began.elapsed(), queue.len());
        while patient.under_way.try_join_next().is_some() {}
    }
    patient.under_way.join_all().await;
}

/// In order of tenant and key, so that two processes wait for each other in one direction only. Equal keys are folded
/// first: one of them asks the database, and all are answered by what the key names then.
fn fold(mut batch: Vec<Keyed>) -> Vec<Asked> {
    let name = |one: &Keyed| (one.event.tenant_id.clone(), one.key.key.clone());
    batch.sort_by_cached_key(name);
    let mut folded: Vec<Asked> = Vec::new();
    for waiting in batch {
        match folded.last_mut() {
            Some(asked) if name(&asked.first) == name(&waiting) => asked.repeats.push(waiting),
            _ => folded.push(Asked { first: waiting, repeats: Vec::new() }),
        }
    }
    folded
}

/// All keys at once; where that fails because of one of them, each by itself, and those that somebody else holds are left to
/// patience, so that they keep nobody waiting.
async fn flush(flusher: &Flusher, bound: &QueueBound, batch: Vec<Keyed>, patient: &mut Patient) {
    let folded = fold(batch);
    let firsts: Vec<&Keyed> = folded.iter().map(|asked| &asked.first).collect();
    let began = Instant::now();
    match within(STATEMENT_PATIENCE, write(flusher, &firsts, None, Filters::Apart)).await {
        Ok(holders) => {
            // One that waited for a key in other hands would tell nothing of the database.
            bound.note(folded.len(), began.elapsed());
            folded.into_iter().zip(holders).for_each(|(asked, holder)| asked.tell(holder));
        }
        Err(error) if matches!(error, StoreError::Unavailable(_)) => {
            folded.into_iter().for_each(|asked| asked.tell(Err(reason(&error))));
        }
        Err(_) => {
            let alone = folded.into_iter().map(|asked| async move {
                match write_alone(flusher, &asked.first, None).await {
                    Err(NotStored::KeyBusy) => Some(asked),
                    holder => {
                        asked.tell(holder);
                        None
                    }
                }
            });
            let mut busy = stream::iter(alone).buffer_unordered(ONE_BY_ONE_MAX);
            while let Some(busy) = busy.next().await {
                busy.into_iter().for_each(|asked| patient.wait_for(flusher, asked));
            }
        }
    }
}

/// What whoever comes with this key and body is answered.
pub(super) fn answer(holder: &Holder, key: &Idempotency) -> Result<Stored, NotStored> {
    if holder.body_sha256 == key.body_sha256 { Ok(holder.stored) } else { Err(NotStored::KeyReused) }
}

async fn write_alone(flusher: &Flusher, one: &Keyed, until: Option<Instant>) -> Result<Holder, NotStored> {
    let written = within(STATEMENT_PATIENCE, write(flusher, &[one], until, Filters::Judged)).await;
    written.map_or_else(|error| Err(reason(&error)), |mut one| one.remove(0))
}

pub(super) fn reason(error: &StoreError) -> NotStored {
    match error {
        StoreError::Locked(_) => NotStored::KeyBusy,
        error if error.retry_after().is_some() => NotStored::Unavailable,
        _ => NotStored::Refused,
    }
}

/// One transaction: claims the keys, stores the events of those that were free, and looks up the others. A key in other hands is
/// waited for until then, or hardly.
async fn write(
    flusher: &Flusher,
    firsts: &[&Keyed],
    until: Option<Instant>,
    filters: Filters<'static>,
) -> Result<Vec<Result<Holder, NotStored>>, StoreError> {
    let now = flusher.clock.now();
    let claims: Vec<KeyClaim> = firsts.iter().map(|one| claim_of(&one.event, &one.key)).collect();
    let mut connection = flusher.pool.acquire().await?;
    let mut transaction = trunkline_store::begin(&mut connection).await?;
    // From here on: a new connection takes its time too.
    let left = until.map_or(HASTY_WAIT, |until| until.saturating_duration_since(Instant::now()));
    idempotency::wait_at_most(&mut transaction, left.max(HASTY_WAIT)).await?;
    let won = idempotency::claim(&mut transaction, &claims, now, now + REMEMBERED).await?;
    let won: HashSet<EventId> = won.into_iter().collect();
    let is_new = |one: &&&Keyed| won.contains(&one.event.event_id);
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
    connection: &mut Connection,
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
