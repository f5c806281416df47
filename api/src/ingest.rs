//! The way of an event into the database: a bounded queue, and a flusher that writes whatever is there in one statement; one
//! statement is under way at a time, while which the next one gathers, since two would share the same events.
//! An idle service writes one event at once, a busy one writes many together.
//!
//! Whoever waits is answered after the commit. Nothing is answered before it, and nothing waits longer than 1.2 s, tokens included.

mod bound;
mod filtered;
mod keyed;
mod plain;
mod reply;
mod together;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use trunkline_boot::Clock;
use trunkline_boot::parts::keep_running;
use trunkline_domain::{EventId, NewEvent};
use trunkline_store::Pool;

use crate::metrics::METRICS;
use crate::problem::Problem;
use crate::rate;
use crate::waker::Waker;
use bound::QueueBound;
use filtered::FairQueue;
use reply::{Answer, Reply};
use together::Together;
pub(crate) use together::{Item, ItemRefused};

/// Events that wait to be written, at the very most; fewer where the database is slow ([`QueueBound`]).
const QUEUE_MAX: usize = 4_096;

/// How long whoever finds the queue full waits for room before being refused. To refuse costs an api nearly as much as to accept, and one
/// that is short of CPU itself takes the database for slow, while the queue is full of what it could not write yet.
const SECOND_LOOK: Duration = Duration::from_millis(50);

/// Payload bytes that wait to be written, whatever their number: it bounds memory.
const QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Events in one statement: beyond this a larger one is no cheaper per event.
const BATCH_MAX: usize = 500;

/// A flusher that had this many to write need not wait for more: a statement costs the server as much as ten events in it.
const BATCH_ENOUGH: usize = 32;

/// How long after the start of its last statement a flusher waits for as many events as that one had. Under load each statement
/// takes more along; where few publish, all of them are there at once.
const GAP: Duration = Duration::from_millis(3);

/// How long a flusher waits for a transaction before it gives it up for lost; the server's own limit of a statement is 1 s.
const STATEMENT_PATIENCE: Duration = Duration::from_secs(5);

/// Connections that the flushers need: one for events without a key, one for those that filters judge, those for keys that are asked for
/// one by one and those for keys in other hands, and those of batches.
pub(crate) const CONNECTIONS: u32 = 2 + (keyed::ONE_BY_ONE_MAX + keyed::PATIENT_MAX + together::TURNS) as u32;

/// How long a publisher waits for tokens and for its answer together: a little longer than one statement may take, so that its own end,
/// which tells more, comes first.
const PATIENCE: Duration = Duration::from_millis(1_200);

// Whoever waited for tokens as long as that may take has time for an event all the same.
const _: () = assert!(PATIENCE.as_millis() >= rate::PATIENCE.as_millis() + 500);

/// An event that is in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The event, which for a repeated key is that of the first request.
    pub(crate) event_id: EventId,
    /// Whether any endpoint matched.
    pub(crate) is_routed: bool,
    /// Whether an earlier request with the same key made it.
    pub(crate) is_replayed: bool,
}

/// Why an event is not in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotStored {
    /// The queue is full.
    Overloaded,
    /// The database is away, or did not answer in time: the event may be stored all the same.
    Unavailable,
    /// Another request with the same key is under way.
    KeyBusy,
    /// Another transaction publishes with the same ordering key.
    OrderBusy,
    /// The key was used with another body.
    KeyReused,
    /// The database refuses this event: a bug.
    Refused,
}

/// An Idempotency-Key and what it is bound to.
#[derive(Clone)]
pub(crate) struct Idempotency {
    /// 1 to 255 visible ASCII characters.
    pub(crate) key: String,
    /// Of type and payload.
    pub(crate) body_sha256: [u8; 32],
}

/// Someone who waits for an answer. `K` is the key that goes with the event, if any.
struct Waiting<K> {
    event: NewEvent<Bytes>,
    /// What its tenant's payload filters weighed a moment ago, if it had any and that is known.
    filter_weight: Option<u64>,
    key: K,
    since: Instant,
    reply: Reply,
    /// Its share of [`QUEUE_BYTES_MAX`], until it is answered.
    _bytes: OwnedSemaphorePermit,
}

/// Where handlers put events.
pub(crate) struct Ingest {
    plain: Entrance<()>,
    /// Of tenants with payload filters.
    filtered: Arc<FairQueue>,
    keyed: Entrance<Idempotency>,
    bytes: Arc<Semaphore>,
    together: Together,
}

/// One end of a queue.
struct Entrance<K> {
    queue: mpsc::Sender<Waiting<K>>,
    bound: Arc<QueueBound>,
}

/// The other end.
struct Exit<K> {
    queue: mpsc::Receiver<Waiting<K>>,
    bound: Arc<QueueBound>,
}

/// Write what handlers put in, until every handler is gone.
pub(crate) struct Flushers {
    plain: Exit<()>,
    filtered: Arc<FairQueue>,
    keyed: Exit<Idempotency>,
    flusher: Flusher,
}

/// What a flusher works with.
#[derive(Clone)]
pub(crate) struct Flusher {
    pub(crate) pool: Pool,
    pub(crate) clock: Clock,
    pub(crate) waker: Waker,
}

/// Makes the queues and what empties them.
pub(crate) fn queue(flusher: Flusher) -> (Ingest, Flushers) {
    let ((plain, plain_out), (keyed, keyed_out)) = (one_queue(), one_queue());
    let filtered = Arc::<FairQueue>::default();
    let bytes = Arc::new(Semaphore::new(QUEUE_BYTES_MAX));
    let ingest =
        Ingest { plain, filtered: filtered.clone(), keyed, bytes, together: Together::new(flusher.clone()) };
    (ingest, Flushers { plain: plain_out, filtered, keyed: keyed_out, flusher })
}

fn one_queue<K>() -> (Entrance<K>, Exit<K>) {
    let (queue, out) = mpsc::channel(QUEUE_MAX);
    let bound = Arc::new(QueueBound::new());
    (Entrance { queue, bound: bound.clone() }, Exit { queue: out, bound })
}

impl Ingest {
    /// Queues an event and waits until it is committed. `filter_weight` is that of its tenant's payload filters, if it has any; `waited`,
    /// how long its publisher was kept waiting for tokens.
    ///
    /// A caller that stops waiting may find its event stored or not: what is being written is, what still waits is not.
    pub(crate) async fn publish(
        &self,
        event: NewEvent<Bytes>,
        key: Option<Idempotency>,
        filter_weight: Option<u64>,
        waited: Duration,
    ) -> Result<Stored, NotStored> {
        if event.ordering_key.is_some() || (key.is_some() && filter_weight.is_some()) {
            let stored = self.publish_together(vec![Item { event, key }], filter_weight, waited).await;
            return stored.map_err(|refused| refused.reason)?.pop().ok_or(NotStored::Refused);
        }
        let _bytes = self.bytes_for(event.payload.len())?;
        let (reply, answered) = Reply::expected();
        let since = Instant::now();
        match key {
            None if filter_weight.is_some() => {
                self.filtered.put(Waiting { event, filter_weight, key: (), since, reply, _bytes });
            }
            None => self.plain.put(Waiting { event, filter_weight, key: (), since, reply, _bytes }).await?,
            Some(key) => self.keyed.put(Waiting { event, filter_weight, key, since, reply, _bytes }).await?,
        }
        match tokio::time::timeout(PATIENCE.saturating_sub(waited + since.elapsed()), answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(NotStored::Unavailable),
        }
    }

    /// Stores events in one transaction, all or nothing, and waits until it is committed.
    pub(crate) async fn publish_together(
        &self,
        items: Vec<Item>,
        filter_weight: Option<u64>,
        waited: Duration,
    ) -> Result<Vec<Stored>, ItemRefused> {
        let bytes = items.iter().map(|item| item.event.payload.len()).sum();
        let _bytes = self.bytes_for(bytes).map_err(ItemRefused::all)?;
        self.together.publish(items, filter_weight, waited).await
    }

    /// A share of [`QUEUE_BYTES_MAX`].
    fn bytes_for(&self, count: usize) -> Result<OwnedSemaphorePermit, NotStored> {
        let count = u32::try_from(count).map_err(|_| NotStored::Overloaded)?;
        self.bytes.clone().try_acquire_many_owned(count).map_err(|_| NotStored::Overloaded)
    }
}

impl<K> Entrance<K> {
    async fn put(&self, waiting: Waiting<K>) -> Result<(), NotStored> {
        if self.is_full() {
            tokio::time::sleep(SECOND_LOOK).await;
            if self.is_full() {
                return Err(NotStored::Overloaded);
            }
        }
        self.queue.try_send(waiting).map_err(|_| NotStored::Overloaded)
    }

    fn is_full(&self) -> bool {
        QUEUE_MAX - self.queue.capacity() >= self.bound.room()
    }
}

impl Flushers {
    /// Work until the queues are closed and empty. What a panic takes along is told 503; the rest waits until the flusher begins again.
    pub(crate) async fn run(self) {
        let Self { plain, filtered, keyed, flusher } = self;
        let (own, panics) = (|| (flusher.clone(), filtered.clone()), &METRICS.panics);
        let plain = async {
            keep_running("plain events", panics, (plain, own()), |(exit, (flusher, filtered))| {
                plain::run(exit, flusher, filtered).boxed()
            })
            .await;
            // Handlers are gone, and nothing goes over any more.
            filtered.close();
        };
        let judged = keep_running("judged events", panics, own(), |(flusher, filtered)| {
            filtered::run(filtered, flusher).boxed()
        });
        let keyed = keep_running("keyed events", panics, (keyed, flusher.clone()), |(exit, flusher)| {
            keyed::run(exit, flusher).boxed()
        });
        tokio::join!(plain, judged, keyed);
    }
}

impl<K> Waiting<K> {
    /// Whether nobody waits any more: the publisher was told 503 or went away, so writing is work for nothing.
    fn is_abandoned(&self) -> bool {
        self.reply.is_unwanted()
    }

    /// Answers; whoever stopped waiting misses it.
    fn tell(self, answer: Answer) {
        self.reply.send(answer);
    }
}

impl From<NotStored> for Problem {
    fn from(reason: NotStored) -> Self {
        match reason {
            NotStored::Overloaded => {
                METRICS.overloaded.increment(1);
                Self::overloaded()
            }
            NotStored::Unavailable => Self::unavailable("a publish was not answered in time"),
            NotStored::KeyBusy => Self::key_busy(),
            NotStored::OrderBusy => Self::ordering_key_busy(),
            NotStored::KeyReused => Self::key_reused(),
            NotStored::Refused => Self::internal("the database refused an event"),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};
    use trunkline_boot::random::random_bytes;
    use trunkline_store::Purpose;
    use trunkline_testkit::{SeededTenant, TestDatabase, seed_tenant, settings};

    use super::*;

    fn event(tenant: &SeededTenant, now: DateTime<Utc>) -> NewEvent<Bytes> {
        NewEvent {
            lane: tenant.lane,
            tenant_id: tenant.tenant_id.clone(),
            event_id: EventId::mint(now, u64::from_ne_bytes(random_bytes())),
            event_type: None,
            created_at: now,
            deliver_at: None,
            ordering_key: None,
            traceparent: None,
            is_judged: true,
            payload: Bytes::from_static(b"{}"),
            payload_sha256: [0; 32],
        }
    }

    fn waiting(tenant: &SeededTenant) -> Waiting<()> {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let (reply, _) = Reply::expected();
        let (event, since) = (event(tenant, Utc::now()), Instant::now());
        Waiting { event, filter_weight: None, key: (), since, reply, _bytes: permit }
    }

    #[tokio::test]
    async fn a_full_queue_takes_whoever_finds_room_a_moment_later_and_refuses_the_others() {
        let database = TestDatabase::new().await;
        let acme = seed_tenant(&database, &settings(&database), "acme", "http://127.0.0.1:9/").await;
        let (entrance, mut exit) = one_queue();
        // The slowest database there is.
        entrance.bound.note(1, Duration::from_secs(60));
        while !entrance.is_full() {
            entrance.put(waiting(&acme)).await.unwrap();
        }
        assert_eq!(entrance.put(waiting(&acme)).await, Err(NotStored::Overloaded));
        let (put, taken) = tokio::join!(entrance.put(waiting(&acme)), exit.queue.recv());
        assert!(taken.is_some());
        assert_eq!(put, Ok(()));
    }

    #[tokio::test]
    async fn a_flusher_that_panics_begins_again_and_takes_no_other_with_it() {
        let database = TestDatabase::new().await;
        let acme = seed_tenant(&database, &settings(&database), "acme", "http://127.0.0.1:9/").await;
        let (pool, clock) = (database.pool(Purpose::Ingest), Clock::new());
        let now = clock.now();
        let (ingest, flushers) = queue(Flusher { pool, clock: clock.clone(), waker: Waker::default() });
        let flushers = tokio::spawn(flushers.run());
        let keyed = async |key: &str| {
            let key = Idempotency { key: key.to_owned(), body_sha256: [0; 32] };
            ingest.publish(event(&acme, now), Some(key), None, Duration::ZERO).await
        };
        // There is no day after it, which is how long the key were to be remembered.
        clock.set(DateTime::<Utc>::MAX_UTC - TimeDelta::hours(1), Duration::ZERO);
        assert_eq!(keyed("first").await, Err(NotStored::Unavailable));
        assert!(
            ingest.publish(event(&acme, now), None, None, Duration::ZERO).await.is_ok(),
            "the others go on"
        );
        clock.set(now, Duration::ZERO);
        let again =
            trunkline_testkit::eventually("the flusher begins again", async || keyed("first").await.ok());
        assert!(!again.await.is_replayed);
        drop(ingest);
        flushers.await.unwrap();
    }
}
