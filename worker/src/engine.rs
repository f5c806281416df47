//! The engine: look, plan, claim, start, and again.
//!
//! A round asks the database which endpoints have open work, asks the roster which of them may be called now, claims no
//! more than there are free attempts, and starts one task for each claim. Claims commit before anything is sent.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use metrics::{counter, gauge};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use trunkline_boot::{Clock, Settings, Shutdown};
use trunkline_store::deliveries::{self, Claimed, DeliveryKey, Lease};
use trunkline_store::{Pool, StoreError, endpoints};

use crate::attempt::{self, Ended, Sender};
use crate::roster::{CallableFactory, Place, Roster};
use crate::wake::Bell;

/// How many endpoints one look takes in. With more, looks take turns.
const LOOK_MAX: i64 = 1_000;

/// After a round that the database did not let us finish.
const AFTER_FAILURE: Duration = Duration::from_millis(250);

/// The engine and what it works with.
pub(crate) struct Engine {
    pub(crate) pool: Pool,
    pub(crate) clock: Clock,
    pub(crate) bell: Bell,
    pub(crate) roster: Roster,
    pub(crate) factory: CallableFactory,
    pub(crate) sender: Sender,
    pub(crate) ended: mpsc::Sender<Ended>,
    pub(crate) times: Times,
    pub(crate) free: Arc<Semaphore>,
    under_way: UnderWay,
    place: Place,
    database_is_away: bool,
}

/// The durations of the settings that the engine goes by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    lease: Duration,
    drain: Duration,
    poll_idle: Duration,
    poll_busy: Duration,
}

/// The attempts that were started and have not ended.
#[derive(Default)]
struct UnderWay {
    attempts: JoinSet<()>,
    claims: HashMap<tokio::task::Id, (DeliveryKey, Lease)>,
}

/// What a round came to.
struct Round {
    claimed: usize,
    next_at: Option<DateTime<Utc>>,
}

impl From<&Settings> for Times {
    fn from(settings: &Settings) -> Self {
        let worker = &settings.worker;
        Self {
            lease: worker.lease,
            drain: worker.drain,
            poll_idle: worker.poll_idle,
            poll_busy: worker.poll_busy,
        }
    }
}

/// What the engine is put together from.
pub(crate) struct Parts {
    pub(crate) pool: Pool,
    pub(crate) clock: Clock,
    pub(crate) bell: Bell,
    pub(crate) factory: CallableFactory,
    pub(crate) sender: Sender,
    pub(crate) ended: mpsc::Sender<Ended>,
}

impl Engine {
    pub(crate) fn new(settings: &Settings, parts: Parts) -> Self {
        let Parts { pool, clock, bell, factory, sender, ended } = parts;
        Self {
            roster: Roster::new(settings.worker.endpoint_concurrency, bell.clone()),
            free: Arc::new(Semaphore::new(settings.worker.concurrency)),
            times: settings.into(),
            under_way: UnderWay::default(),
            place: None,
            database_is_away: false,
            pool,
            clock,
            bell,
            factory,
            sender,
            ended,
        }
    }

    /// Works until a stop is requested, then lets what was sent come to its end.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        while !shutdown.is_requested() {
            let wait = match self.round(&shutdown).await {
                Ok(round) => {
                    self.database_is_away = false;
                    self.wait_after(&round)
                }
                Err(error) => self.note_failure(&error),
            };
            self.under_way.reap();
            if !wait.is_zero() {
                tokio::select! {
                    () = shutdown.requested() => {}
                    () = self.bell.rung_within(wait) => {}
                }
            }
        }
        self.drain().await;
    }

    async fn round(&mut self, shutdown: &Shutdown) -> Result<Round, StoreError> {
        let free = self.free.available_permits();
        gauge!("trunkline_worker_attempts_free").set(u32::try_from(free).unwrap_or(u32::MAX));
        if free == 0 {
            // An attempt that ends rings the bell.
            return Ok(Round { claimed: 0, next_at: None });
        }
        let mut connection = self.pool.acquire().await?;
        let active = deliveries::active_endpoints(&mut connection, self.place, LOOK_MAX).await?;
        // A look that came to the end starts over the next time.
        let came_to_the_end = active.len() < usize::try_from(LOOK_MAX).unwrap_or(usize::MAX);
        self.place = active.last().filter(|_| !came_to_the_end).map(|last| (last.lane, last.endpoint_id));

        let now = self.clock.now();
        let stale = self.roster.stale(&active, now);
        if !stale.is_empty() {
            let loaded = endpoints::load(&mut connection, &stale, now).await?;
            self.roster.learn(loaded.into_iter().map(|endpoint| self.factory.make(endpoint)).collect());
        }
        let plan = self.roster.plan(&active, free, now);
        if !came_to_the_end {
            // There is more to see than one look: go on at once. Only until the end, or endpoints whose work is not due
            // would keep the engine turning for nothing.
            self.bell.ring();
        }
        if plan.wanted.is_empty() {
            return Ok(Round { claimed: 0, next_at: plan.next_at });
        }
        let lease = Lease(i64::from_ne_bytes(trunkline_boot::random::random_bytes()));
        let leased_until = now + self.times.lease;
        let claimed = deliveries::claim(&mut connection, &plan.wanted, lease, now, leased_until).await?;
        if shutdown.is_requested() {
            // Asked to stop while claiming: nothing of this was sent.
            let claims: Vec<_> = claimed.into_iter().map(|one| (one.key, one.lease)).collect();
            deliveries::give_back(&mut connection, &claims).await?;
            return Ok(Round { claimed: 0, next_at: None });
        }
        drop(connection);
        counter!("trunkline_worker_claimed_total").increment(claimed.len() as u64);
        let count = claimed.len();
        for delivery in claimed {
            self.start(delivery, leased_until);
        }
        Ok(Round { claimed: count, next_at: plan.next_at })
    }

    /// Starts an attempt as a task of its own. A claim takes no more than there are permits, and only of endpoints that
    /// the roster knows, so neither can be missing; if one were, the lease would bring the delivery back.
    fn start(&mut self, claimed: Claimed, leased_until: DateTime<Utc>) {
        let (Ok(permit), Some((callable, in_flight))) =
            (self.free.clone().try_acquire_owned(), self.roster.start(claimed.key.endpoint_id))
        else {
            tracing::error!(event.id = %claimed.key.event_id, "a claim exceeded its plan; its lease will bring it back");
            return;
        };
        let (sender, clock, ended) = (self.sender.clone(), self.clock.clone(), self.ended.clone());
        let claim = (claimed.key.clone(), claimed.lease);
        let task = async move {
            let attempt = attempt::make(&claimed, &callable, &sender, &clock, leased_until);
            let result = AssertUnwindSafe(attempt).catch_unwind().await.unwrap_or_else(|_| {
                counter!("trunkline_worker_panics_total").increment(1);
                attempt::after_panic(&claimed, &callable, &clock, leased_until)
            });
            // The recorder outlives the engine, so this fails only when the process is going down hard.
            let _ = ended.send(result).await;
            release(permit, in_flight);
        };
        let handle = self.under_way.attempts.spawn(task);
        self.under_way.claims.insert(handle.id(), claim);
    }

    /// Claims are followed by another round at once; otherwise the next poll, or what comes due before it.
    fn wait_after(&self, round: &Round) -> Duration {
        if round.claimed > 0 {
            return Duration::ZERO;
        }
        let poll = if self.under_way.claims.is_empty() { self.times.poll_idle } else { self.times.poll_busy };
        let due = round.next_at.map(|at| (at - self.clock.now()).to_std().unwrap_or_default());
        due.map_or(poll, |due| due.clamp(Duration::from_millis(1), poll))
    }

    /// Says once that the database is away, and how long to wait before asking again.
    fn note_failure(&mut self, error: &StoreError) -> Duration {
        if !self.database_is_away {
            self.database_is_away = true;
            tracing::warn!(%error, "claiming stopped; trying again until the database answers");
        }
        AFTER_FAILURE
    }

    /// Waits for the attempts that were started, and gives back what is not done when the time is over.
    async fn drain(mut self) {
        let end = tokio::time::Instant::now() + self.times.drain;
        while let Ok(Some(ended)) =
            tokio::time::timeout_at(end, self.under_way.attempts.join_next_with_id()).await
        {
            self.under_way.forget(&ended);
        }
        self.under_way.attempts.shutdown().await;
        let unfinished: Vec<_> = self.under_way.claims.into_values().collect();
        if unfinished.is_empty() {
            return;
        }
        tracing::warn!(count = unfinished.len(), "attempts were cut short by the stop and are given back");
        let given = match self.pool.acquire().await {
            Ok(mut connection) => deliveries::give_back(&mut connection, &unfinished).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = given {
            tracing::warn!(%error, "giving back failed; the leases will bring the deliveries back");
        }
    }
}

impl UnderWay {
    /// Forgets attempts that ended.
    fn reap(&mut self) {
        while let Some(ended) = self.attempts.try_join_next_with_id() {
            self.forget(&ended);
        }
    }

    fn forget(&mut self, ended: &Result<(tokio::task::Id, ()), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        self.claims.remove(&id);
    }
}

/// Frees the attempt's place before its endpoint's, whose guard rings the bell: the engine wakes to find both.
fn release(permit: OwnedSemaphorePermit, in_flight: crate::roster::InFlight) {
    drop(permit);
    drop(in_flight);
}
