//! What attempts mean for their endpoints: pauses, 410, breakers, and whether they fare well. Few attempts have any.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use trunkline_boot::Clock;
use trunkline_domain::outcome::Consequence;
use trunkline_domain::{AttemptOutcome, EndpointId, TenantId};
use trunkline_store::audit::{self, Action, Actor, Entry};
use trunkline_store::deliveries::NextStep;
use trunkline_store::endpoints::{self, Breaker, Health};
use trunkline_store::pool::within;
use trunkline_store::{Connection, Pool, StoreError};

use crate::attempt::Ended;
use crate::operational::{Fact, Herald, News};
use crate::roster::BreakerNews;

/// Failures of an endpoint are added to its row at most this often.
const COUNTED_EVERY: Duration = Duration::from_secs(30);

/// Endpoints whose failures are counted at one time; those that have none waiting are forgotten beyond it.
const COUNTED_MAX: usize = 10_000;

/// How long they are waited for, while outcomes wait behind them. Their rows are in few hands, and each statement has the server's limit.
const PATIENCE: Duration = Duration::from_secs(12);

/// Writes consequences to the endpoints' rows, and tells of them.
pub(super) struct Consequences {
    pool: Pool,
    clock: Clock,
    herald: Herald,
    counted: HashMap<EndpointId, Counted>,
}

/// Failures of an endpoint that its row does not count yet.
struct Counted {
    tenant_id: TenantId,
    failures: u32,
    /// It succeeded since that was last written, and failed again.
    is_afresh: bool,
    written_at: Option<Instant>,
}

impl Consequences {
    pub(super) fn new(pool: Pool, clock: Clock, herald: Herald) -> Self {
        Self { pool, clock, herald, counted: HashMap::new() }
    }

    /// Applies those of a batch. A failure is told and passed over: the endpoint will answer the same again.
    pub(super) async fn apply(&mut self, batch: &[Ended]) {
        let now = self.clock.now();
        let mut changes = Changes::of(batch, now);
        changes.health = self.health(batch);
        for one in batch.iter().filter(|one| one.attempt.next == NextStep::GiveUp) {
            let fact = Fact::Exhausted { event_id: one.attempt.key.event_id };
            self.tell(&one.callable.tenant_id, one.callable.endpoint_id, fact);
        }
        self.write(&changes, now).await;
    }

    /// Writes what was counted and is not written.
    pub(super) async fn finish(mut self) {
        let open = self.counted.drain().filter(|(_, one)| one.failures > 0);
        let health = open.map(|(id, mut one)| one.take(id)).collect();
        let (now, changes) = (self.clock.now(), Changes { health, ..Changes::default() });
        self.write(&changes, now).await;
    }

    /// What is to be written of how endpoints fare: that they began to fail or work again at once, how often they failed now
    /// and then.
    fn health(&mut self, batch: &[Ended]) -> Vec<Health> {
        // The last attempt of the batch tells how an endpoint fares.
        let mut last_of: HashMap<EndpointId, &Ended> = HashMap::new();
        for one in batch {
            let (id, outcome) = (one.callable.endpoint_id, one.attempt.outcome);
            // Our own faults, and what we refuse to call, say nothing of how an endpoint fares.
            if outcome == AttemptOutcome::Succeeded || outcome.is_fault_of_endpoint() {
                last_of.insert(id, one);
            }
            if outcome == AttemptOutcome::Succeeded
                && let Some(counted) = self.counted.get_mut(&id)
            {
                (counted.failures, counted.is_afresh) = (0, true);
            }
            if outcome.is_fault_of_endpoint() {
                self.counted.entry(id).or_insert_with(|| Counted::new(&one.callable.tenant_id)).failures += 1;
            }
        }
        let mut health = Vec::new();
        for (id, one) in last_of {
            let is_failing = one.attempt.outcome != AttemptOutcome::Succeeded;
            let is_news = one.callable.note_failing(is_failing);
            let tenant_id = &one.callable.tenant_id;
            if !is_failing {
                self.counted.remove(&id);
                if is_news {
                    health.push(Counted::new(tenant_id).well(id));
                }
                continue;
            }
            match self.counted.get_mut(&id) {
                Some(counted) if is_news || counted.is_due() => health.push(counted.take(id)),
                None if is_news => health.push(Counted::new(tenant_id).take(id)),
                _ => {}
            }
        }
        if self.counted.len() > COUNTED_MAX {
            self.counted.retain(|_, one| one.failures > 0);
        }
        health
    }

    async fn write(&self, changes: &Changes, now: DateTime<Utc>) {
        if changes.is_empty() {
            return;
        }
        if let Err(error) = within(PATIENCE, self.try_write(changes, now)).await {
            tracing::warn!(%error, "an endpoint's pause or state could not be written; its next answer will");
        }
    }

    async fn try_write(&self, changes: &Changes, now: DateTime<Utc>) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        for (endpoint_id, (tenant_id, until)) in &changes.pauses {
            endpoints::pause(&mut connection, tenant_id, *endpoint_id, *until).await?;
        }
        for (endpoint_id, tenant_id) in &changes.gone {
            if disable_gone(&mut connection, tenant_id, *endpoint_id, now).await? {
                tracing::info!(tenant.id = %tenant_id, endpoint.id = %endpoint_id, "endpoint disabled: it answered 410");
                self.tell(tenant_id, *endpoint_id, Fact::Gone);
            }
        }
        let (failing, well): (Vec<Health>, Vec<Health>) =
            changes.health.iter().cloned().partition(|one| one.is_failing);
        if !failing.is_empty() {
            endpoints::note_health(&mut connection, &failing, now).await?;
        }
        // In between: that an endpoint is well makes its row forget since when it failed, which is told.
        if !changes.breakers.is_empty() {
            let breakers: Vec<Breaker> = changes.breakers.values().cloned().collect();
            for turn in endpoints::note_breakers(&mut connection, &breakers).await? {
                let failing_since = turn.failing_since;
                let fact = match turn.open_until {
                    Some(open_until) => Fact::Failing { open_until, failing_since },
                    None => Fact::Recovered { failing_since },
                };
                self.tell(&turn.tenant_id, turn.endpoint_id, fact);
            }
        }
        if !well.is_empty() {
            endpoints::note_health(&mut connection, &well, now).await?;
        }
        Ok(())
    }

    fn tell(&self, tenant_id: &TenantId, about: EndpointId, fact: Fact) {
        self.herald.tell(News { tenant_id: tenant_id.clone(), about, fact });
    }
}

/// Returns `false` if it was disabled before.
async fn disable_gone(
    connection: &mut Connection,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut transaction = trunkline_store::begin(connection).await?;
    if !endpoints::disable_gone(&mut transaction, tenant_id, endpoint_id).await? {
        return Ok(false);
    }
    let entry = Entry {
        actor: &Actor::Trunkline,
        action: Action::DisableGoneEndpoint,
        tenant_id: Some(tenant_id),
        target: Some(endpoint_id.to_string()),
        request_id: None,
    };
    audit::record(&mut transaction, entry, now).await?;
    transaction.commit().await?;
    Ok(true)
}

impl Counted {
    fn new(tenant_id: &TenantId) -> Self {
        Self { tenant_id: tenant_id.clone(), failures: 0, is_afresh: false, written_at: None }
    }

    fn is_due(&self) -> bool {
        self.failures > 0 && self.written_at.is_none_or(|at| at.elapsed() >= COUNTED_EVERY)
    }

    /// What to write now; counting goes on from zero.
    fn take(&mut self, endpoint_id: EndpointId) -> Health {
        self.written_at = Some(Instant::now());
        Health {
            tenant_id: self.tenant_id.clone(),
            endpoint_id,
            is_failing: true,
            is_afresh: std::mem::take(&mut self.is_afresh),
            failures: std::mem::take(&mut self.failures),
        }
    }

    fn well(self, endpoint_id: EndpointId) -> Health {
        Health { tenant_id: self.tenant_id, endpoint_id, is_failing: false, is_afresh: false, failures: 0 }
    }
}

#[derive(Default)]
struct Changes {
    health: Vec<Health>,
    pauses: HashMap<EndpointId, (TenantId, DateTime<Utc>)>,
    gone: HashMap<EndpointId, TenantId>,
    /// Where each breaker stands in the end.
    breakers: HashMap<EndpointId, Breaker>,
}

impl Changes {
    /// All but the health.
    fn of(batch: &[Ended], now: DateTime<Utc>) -> Self {
        let mut changes = Self::default();
        for one in batch {
            let (tenant_id, endpoint_id) = (&one.callable.tenant_id, one.callable.endpoint_id);
            match one.consequence {
                Consequence::None => {}
                Consequence::Disable => {
                    changes.gone.insert(endpoint_id, tenant_id.clone());
                }
                Consequence::Pause(wait) => {
                    let until = now + wait;
                    let pause = changes.pauses.entry(endpoint_id).or_insert((tenant_id.clone(), until));
                    pause.1 = pause.1.max(until);
                }
            }
            if let Some(breaker) = one.breaker {
                let open_until = match breaker {
                    BreakerNews::OpenUntil(until) => Some(until),
                    BreakerNews::Closed => None,
                };
                let breaker = Breaker { tenant_id: tenant_id.clone(), endpoint_id, open_until };
                changes.breakers.insert(endpoint_id, breaker);
            }
        }
        changes
    }

    fn is_empty(&self) -> bool {
        self.health.is_empty() && self.pauses.is_empty() && self.gone.is_empty() && self.breakers.is_empty()
    }
}
