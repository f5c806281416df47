//! What the engine asks of the database, one statement each. The engine never waits for an answer: it goes on starting
//! attempts meanwhile.

use std::time::Duration;

use chrono::{DateTime, Utc};
use trunkline_boot::Clock;
use trunkline_domain::{EndpointId, EventId, LaneSet, TenantId};
use trunkline_store::deliveries::{
    self, ActiveEndpoint, ClaimTerms, Claimed, GivenBack, Lease, Places, Wanted,
};
use trunkline_store::events::IdRange;
use trunkline_store::pool::within;
use trunkline_store::{Pool, StoreError, endpoints};

use crate::metrics::METRICS;
use crate::roster::{Callable, CallableFactory};

/// How many endpoints one look takes in. With more, looks take turns.
const LOOK_MAX: usize = 1_000;

/// How long an answer is waited for; the server's own limit of a statement is 10 s.
const PATIENCE: Duration = Duration::from_secs(12);

/// Ids are made by the database's clock; events from beyond this would be a clock gone wrong.
const AHEAD: chrono::Duration = chrono::Duration::hours(1);

/// Cheap to clone: each question is a task of its own.
#[derive(Clone)]
pub(crate) struct Desk {
    /// Commits without waiting for the disk.
    pub(crate) pool: Pool,
    pub(crate) clock: Clock,
    pub(crate) lease: Duration,
    /// Marks this worker's leases.
    pub(crate) worker_number: i32,
}

/// What a claim brought.
pub(crate) struct ClaimAnswer {
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) claimed: Result<Vec<Claimed>, StoreError>,
    pub(crate) leased_until: DateTime<Utc>,
}

/// What a look found.
pub(crate) struct LookAnswer {
    pub(crate) active: Vec<ActiveEndpoint>,
    /// Where the next look continues; empty = this one came to the end.
    pub(crate) places: Places,
    pub(crate) oldest_open: Option<EventId>,
    pub(crate) took: Duration,
}

/// What is known of endpoints that were asked for.
pub(crate) struct LoadAnswer {
    pub(crate) asked: Vec<(TenantId, EndpointId)>,
    pub(crate) loaded: Vec<Callable>,
}

impl Desk {
    /// Claims what is wanted, of events from `from` on.
    pub(crate) async fn claim(self, wanted: Vec<Wanted>, from: EventId, dead: Vec<i32>) -> ClaimAnswer {
        let now = self.clock.now();
        let leased_until = now + self.lease;
        let random = u32::from_ne_bytes(trunkline_boot::random::random_bytes());
        let terms = ClaimTerms {
            lease: Lease::of(self.worker_number, random),
            now,
            leased_until,
            range: range(from, now),
            dead: &dead,
        };
        let claimed = async {
            let mut connection = self.pool.acquire().await?;
            deliveries::claim(&mut connection, &wanted, terms).await
        };
        let asked = std::time::Instant::now();
        let claimed = within(PATIENCE, claimed).await;
        METRICS.claim_seconds.record(asked.elapsed().as_secs_f64());
        ClaimAnswer { wanted, claimed, leased_until }
    }

    /// Looks which endpoints of these lanes have open work. `from` = nothing older is open; `None` = find that out first.
    pub(crate) async fn look(
        self,
        lanes: LaneSet,
        places: Places,
        from: Option<EventId>,
    ) -> Result<LookAnswer, StoreError> {
        within(PATIENCE, self.look_now(lanes, places, from)).await
    }

    async fn look_now(
        self,
        lanes: LaneSet,
        places: Places,
        from: Option<EventId>,
    ) -> Result<LookAnswer, StoreError> {
        let asked = std::time::Instant::now();
        let mut connection = self.pool.acquire().await?;
        let now = self.clock.now();
        let oldest_open = match from {
            Some(from) => Some(from),
            None => deliveries::oldest_open(&mut connection).await?.map(EventId::from),
        };
        let Some(from) = oldest_open else {
            return Ok(LookAnswer {
                active: Vec::new(),
                places: Places::new(),
                oldest_open,
                took: asked.elapsed(),
            });
        };
        let lanes: Vec<_> = lanes.iter().collect();
        let limit = i64::try_from(LOOK_MAX).unwrap_or(i64::MAX);
        let active =
            deliveries::active_endpoints(&mut connection, &lanes, &places, range(from, now), limit).await?;
        let mut next = Places::new();
        if active.len() == LOOK_MAX {
            next = places;
            for one in &active {
                next.entry(one.lane)
                    .and_modify(|place| *place = one.endpoint_id.max(*place))
                    .or_insert(one.endpoint_id);
            }
        }
        Ok(LookAnswer { active, places: next, oldest_open, took: asked.elapsed() })
    }

    /// Loads endpoints and makes them ready to be called.
    pub(crate) async fn load(
        self,
        asked: Vec<(TenantId, EndpointId)>,
        factory: std::sync::Arc<CallableFactory>,
    ) -> Result<LoadAnswer, StoreError> {
        let found = async {
            let mut connection = self.pool.acquire().await?;
            endpoints::load(&mut connection, &asked, self.clock.now()).await
        };
        let found = within(PATIENCE, found).await?;
        let loaded = found.into_iter().map(|endpoint| factory.make(endpoint)).collect();
        Ok(LoadAnswer { asked, loaded })
    }

    /// Gives claims back. Where that fails, the end of the leases brings the deliveries back.
    pub(crate) async fn give_back(self, claims: Vec<GivenBack>) {
        let given = async {
            let mut connection = self.pool.acquire().await?;
            deliveries::give_back(&mut connection, &claims).await
        };
        if let Err(error) = within(PATIENCE, given).await {
            tracing::warn!(%error, count = claims.len(), "giving back failed; the leases will bring the deliveries back");
        }
    }
}

fn range(from: EventId, now: DateTime<Utc>) -> IdRange {
    IdRange { from: from.as_uuid(), before: EventId::first_at(now + AHEAD).as_uuid() }
}
