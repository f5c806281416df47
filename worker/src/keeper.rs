//! Keeps this worker's share of the lanes: says that it lives, renews its leases, gives up what is over its share, and
//! takes what nobody serves.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use trunkline_boot::{Clock, Shutdown};
use trunkline_domain::LaneSet;
use trunkline_domain::lane::fair_share;
use trunkline_store::pool::within;
use trunkline_store::wake::{self, Wake};
use trunkline_store::workers::{self, Peer};
use trunkline_store::{Connection, Pool, StoreError, lanes};
use uuid::Uuid;

use crate::lanes::Lanes;
use crate::metrics::METRICS;
use crate::wake::{Bell, Mailbox};

/// The longest lease of a lane; a shorter `worker.lease` shortens it. A frozen owner keeps its lanes so long.
const LEASE_MAX: Duration = Duration::from_secs(10);

/// Between two looks at leases and peers: a killed worker's lanes wait no longer.
const BEAT: Duration = Duration::from_millis(500);

/// While lanes are wanted that their owner is giving up, or are given up.
const BEAT_HURRIED: Duration = Duration::from_millis(50);

/// How long a beat may take before it is begun anew.
const PATIENCE: Duration = Duration::from_secs(2);

/// A worker silent for so long does not count when lanes are shared.
const SILENT_AFTER: Duration = Duration::from_secs(5);

/// A worker silent for so long is forgotten, unless leases are longer.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// After a restart of the database every session is new, and a lock that is free means only that its worker has not come
/// back yet. Nobody is taken for dead by a session younger than this.
const GRACE: Duration = Duration::from_secs(3);

/// A worker as the others know it.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// At random, for each process.
    pub(crate) id: Uuid,
    /// Host name and process id: what a person needs to find the process that made an attempt.
    pub(crate) name: String,
}

impl Identity {
    /// This process.
    pub(crate) fn of_this_process() -> Self {
        let name = format!("{}:{}", trunkline_boot::host::name(), std::process::id());
        Self { id: Uuid::from_bytes(trunkline_boot::random::random_bytes()), name }
    }

    /// What its leases are marked with: the first 32 bits of its id.
    pub(crate) fn number(&self) -> i32 {
        number(self.id)
    }
}

fn number(worker_id: Uuid) -> i32 {
    worker_id.as_fields().0.cast_signed()
}

/// How long a lane is leased where deliveries are leased for `worker_lease`.
pub(crate) fn lane_lease(worker_lease: Duration) -> Duration {
    worker_lease.min(LEASE_MAX)
}

/// How long a silent worker is remembered where deliveries are leased for `worker_lease`: while it is known to be dead its leases hold
/// nobody up, and all have run out by then.
pub(crate) fn remembers(worker_lease: Duration) -> Duration {
    FORGOTTEN_AFTER.max(worker_lease * 2)
}

/// The task and what it works with.
pub(crate) struct Keeper {
    pub(crate) pool: Pool,
    pub(crate) clock: Clock,
    pub(crate) identity: Identity,
    pub(crate) lease: Duration,
    pub(crate) remembers: Duration,
    pub(crate) lanes: Lanes,
    pub(crate) session: watch::Receiver<Option<Instant>>,
    pub(crate) bell: Bell,
    pub(crate) engine: Mailbox,
    /// Rung when lanes came here.
    pub(crate) upkeep: Bell,
}

impl Keeper {
    /// Keeps lanes until the engine is done: from the request to stop on, only to give them up as their attempts end.
    pub(crate) async fn run(&self, shutdown: Shutdown, engine_is_done: CancellationToken) {
        let mut told = false;
        loop {
            let is_stopping = shutdown.is_requested();
            let is_done = engine_is_done.is_cancelled();
            let wait = match within(PATIENCE, self.beat(is_stopping, is_done)).await {
                Ok(hurried) => {
                    told = false;
                    if hurried { BEAT_HURRIED } else { BEAT }
                }
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(%error, "lanes cannot be leased; trying until the database answers");
                    }
                    BEAT
                }
            };
            if is_done {
                return;
            }
            tokio::select! {
                () = engine_is_done.cancelled() => {}
                () = shutdown.requested(), if !is_stopping => {}
                () = self.bell.rung_within(wait) => {}
            }
        }
    }

    /// One look at everything. Returns whether something is about to change hands.
    async fn beat(&self, is_stopping: bool, is_done: bool) -> Result<bool, StoreError> {
        let mut connection = self.pool.acquire().await?;
        self.say_alive(&mut connection, is_stopping).await?;
        let (now, until) = (self.clock.now(), Instant::now() + self.lease);
        let held: Vec<_> = self.lanes.held().iter().collect();
        let kept = lanes::renew(&mut connection, self.identity.id, &held, now, now + self.lease).await?;
        self.lanes.renewed(kept.into_iter().collect(), until);

        let peers = workers::peers(&mut connection, now - SILENT_AFTER).await?;
        let dead = self.dead(&peers);
        let share = if is_stopping { 0 } else { self.share(&peers) };
        let (serving, _) = self.lanes.counts();
        if serving > share {
            self.lanes.leave(serving - share);
            self.engine.post(Wake::Look);
        } else if serving < share {
            self.lanes.stay(share - serving);
        }
        self.release(&mut connection).await?;
        let (serving, leaving) = self.lanes.counts();
        if serving < share {
            let held: Vec<_> = self.lanes.held().iter().collect();
            let (id, limit) = (self.identity.id, share - serving);
            let taken = lanes::take(&mut connection, id, &held, &dead, limit, now, now + self.lease).await?;
            if !taken.is_empty() {
                tracing::debug!(count = taken.len(), "took lanes");
                self.lanes.gained(taken.into_iter().collect::<LaneSet>(), until);
                self.engine.post(Wake::Look);
                self.upkeep.ring();
            }
        }
        METRICS.lanes.set(self.lanes.counts().0 as f64);
        if is_done {
            workers::leave(&mut connection, self.identity.id).await?;
        }
        Ok(leaving > 0 || self.lanes.counts().0 < share)
    }

    /// A worker that stops says that it was last heard of a while ago: it has no share any more, but while it is listed
    /// its death would still be seen.
    async fn say_alive(&self, connection: &mut Connection, is_stopping: bool) -> Result<(), StoreError> {
        let now = self.clock.now();
        let seen_at = if is_stopping { now - SILENT_AFTER * 2 } else { now };
        let has_session = self.session.borrow().is_some();
        let version = env!("CARGO_PKG_VERSION");
        let Identity { id, name } = &self.identity;
        workers::beat(connection, *id, name, version, has_session, seen_at, now - self.remembers).await
    }

    /// The workers that are dead; the engine is told their numbers, since their leases hold no longer.
    fn dead(&self, peers: &[Peer]) -> Vec<Uuid> {
        let is_settled = self.session.borrow().is_some_and(|since| since.elapsed() > GRACE);
        let is_dead = |peer: &&Peer| is_settled && peer.is_dead && peer.worker_id != self.identity.id;
        let dead: Vec<Uuid> = peers.iter().filter(is_dead).map(|peer| peer.worker_id).collect();
        self.lanes.set_dead(dead.iter().copied().map(number).collect());
        dead
    }

    fn share(&self, peers: &[Peer]) -> usize {
        let alive = |peer: &&Peer| peer.worker_id == self.identity.id || (peer.is_fresh && !peer.is_dead);
        let alive: Vec<Uuid> = peers.iter().filter(alive).map(|peer| peer.worker_id).collect();
        let rank = alive.iter().position(|id| *id == self.identity.id);
        rank.map_or(0, |rank| fair_share(rank, alive.len()))
    }

    async fn release(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let idle = self.lanes.releasable();
        if idle.is_empty() {
            return Ok(());
        }
        lanes::release(connection, self.identity.id, &idle).await?;
        self.lanes.released(&idle);
        // Whoever is short of lanes takes them at once.
        wake::notify(connection, &Wake::LanesFree).await
    }
}
