//! What attempts mean for their endpoints: pauses, 410, breakers, and whether they fare well. Few attempts have any.

use std::collections::{HashMap, HashSet};
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

use super::RETRY_WAIT;
use crate::attempt::Ended;
use crate::operational::{Fact, Herald, News};
use crate::roster::BreakerNews;

/// Failures of an endpoint are added to its row at most this often.
const COUNTED_EVERY: Duration = Duration::from_secs(30);

/// Endpoints whose failures are counted, or of which something is not written yet. Beyond it what is of no use now is forgotten, and
/// what is new is not taken in: the endpoint's next answer says the same again.
const ENDPOINTS_MAX: usize = 10_000;

/// How long they are waited for, while outcomes wait behind them. Each statement has the server's limit.
const PATIENCE: Duration = Duration::from_secs(12);

/// Writes consequences to the endpoints' rows, and tells of them.
pub(super) struct Consequences {
    pool: Pool,
    clock: Clock,
    herald: Herald,
    counted: HashMap<EndpointId, Counted>,
    /// What is not written yet.
    open: HashMap<EndpointId, Change>,
    /// When it is written, or tried again.
    pub(super) at: Instant,
    /// It was said that the database does not take it.
    is_told: bool,
}

/// Failures of an endpoint that its row does not count yet.
struct Counted {
    tenant_id: TenantId,
    failures: u32,
    /// It succeeded since that was last written, and failed again.
    is_afresh: bool,
    written_at: Option<Instant>,
}

/// What is to be written to an endpoint's row.
struct Change {
    tenant_id: TenantId,
    paused_until: Option<DateTime<Utc>>,
    is_gone: bool,
    /// Where its breaker stands in the end.
    breaker: Option<Breaker>,
    health: Option<Health>,
}

impl Consequences {
    pub(super) fn new(pool: Pool, clock: Clock, herald: Herald) -> Self {
        let (counted, open, at) = (HashMap::new(), HashMap::new(), Instant::now());
        Self { pool, clock, herald, counted, open, at, is_told: false }
    }

    /// Whether anything is not written yet.
    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Applies those of a batch, and what could not be written before if its time has come.
    pub(super) async fn apply(&mut self, batch: &[Ended]) {
        let now = self.clock.now();
        for health in self.health(batch) {
            let (tenant_id, endpoint_id) = (health.tenant_id.clone(), health.endpoint_id);
            self.note(&tenant_id, endpoint_id, |change| change.note_health(health));
        }
        for one in batch {
            let (tenant_id, endpoint_id) = (&one.callable.tenant_id, one.callable.endpoint_id);
            match one.consequence {
                Consequence::None => {}
                Consequence::Disable => self.note(tenant_id, endpoint_id, |change| change.is_gone = true),
                Consequence::Pause(wait) => self.note(tenant_id, endpoint_id, |change| {
                    change.paused_until = change.paused_until.max(Some(now + wait));
                }),
            }
            if let Some(news) = one.breaker {
                let open_until = match news {
                    BreakerNews::OpenUntil(until) => Some(until),
                    BreakerNews::Closed => None,
                };
                let breaker = Breaker { tenant_id: tenant_id.clone(), endpoint_id, open_until };
                self.note(tenant_id, endpoint_id, |change| change.breaker = Some(breaker));
            }
            if one.attempt.next == NextStep::GiveUp {
                let fact = Fact::Exhausted { event_id: one.attempt.key.event_id };
                self.tell(tenant_id, endpoint_id, fact);
            }
        }
        if self.is_open() && Instant::now() >= self.at {
            self.write(now).await;
        }
    }

    /// Writes what was counted and is not written.
    pub(super) async fn finish(mut self) {
        for (endpoint_id, mut one) in std::mem::take(&mut self.counted) {
            if one.failures > 0 {
                let health = one.take(endpoint_id);
                self.note(&one.tenant_id, endpoint_id, |change| change.note_health(health));
            }
        }
        if self.is_open() {
            self.write(self.clock.now()).await;
        }
    }

    /// Adds to what is to be written to an endpoint's row, at once.
    fn note(&mut self, tenant_id: &TenantId, endpoint_id: EndpointId, note: impl FnOnce(&mut Change)) {
        if self.open.len() < ENDPOINTS_MAX || self.open.contains_key(&endpoint_id) {
            note(self.open.entry(endpoint_id).or_insert_with(|| Change::new(tenant_id)));
            self.at = Instant::now();
        }
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
        if self.counted.len() > ENDPOINTS_MAX {
            self.counted.retain(|_, one| one.failures > 0);
        }
        health
    }

    /// Writes what is open. What somebody's lock holds up, and everything while the database is away, is kept for the next time.
    async fn write(&mut self, now: DateTime<Utc>) {
        match within(PATIENCE, self.try_write(now)).await {
            Ok(held) => {
                self.open.retain(|endpoint_id, _| held.contains(endpoint_id));
                self.is_told = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_told, true) {
                    tracing::warn!(%error, count = self.open.len(), "pauses and states of endpoints cannot be written; trying again");
                }
                // Refused for what is in it, which would be so the next time.
                if error.retry_after().is_none() {
                    self.open.clear();
                }
            }
        }
        self.at = Instant::now() + RETRY_WAIT;
    }

    /// In one transaction, so that what is kept for the next time is written once. Returns the endpoints whose rows somebody holds.
    async fn try_write(&self, now: DateTime<Utc>) -> Result<HashSet<EndpointId>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let mut transaction = trunkline_store::begin(&mut connection).await?;
        let named: Vec<_> = self.open.iter().map(|(id, change)| (change.tenant_id.clone(), *id)).collect();
        let held = endpoints::lock_free(&mut transaction, &named).await?;
        let free = || self.open.iter().filter(|(endpoint_id, _)| !held.contains(endpoint_id));
        let mut facts = Vec::new();
        for (endpoint_id, change) in free() {
            if let Some(until) = change.paused_until {
                endpoints::pause(&mut transaction, &change.tenant_id, *endpoint_id, until).await?;
            }
            if change.is_gone && disable_gone(&mut transaction, &change.tenant_id, *endpoint_id, now).await? {
                facts.push((change.tenant_id.clone(), *endpoint_id, Fact::Gone));
            }
        }
        let (failing, well): (Vec<Health>, Vec<Health>) =
            free().filter_map(|(_, change)| change.health.clone()).partition(|one| one.is_failing);
        if !failing.is_empty() {
            endpoints::note_health(&mut transaction, &failing, now).await?;
        }
        // In between: that an endpoint is well makes its row forget since when it failed, which is told.
        let breakers: Vec<Breaker> = free().filter_map(|(_, change)| change.breaker.clone()).collect();
        if !breakers.is_empty() {
            for turn in endpoints::note_breakers(&mut transaction, &breakers).await? {
                let failing_since = turn.failing_since;
                let fact = match turn.open_until {
                    Some(open_until) => Fact::Failing { open_until, failing_since },
                    None => Fact::Recovered { failing_since },
                };
                facts.push((turn.tenant_id, turn.endpoint_id, fact));
            }
        }
        if !well.is_empty() {
            endpoints::note_health(&mut transaction, &well, now).await?;
        }
        transaction.commit().await?;
        for (tenant_id, endpoint_id, fact) in facts {
            if matches!(fact, Fact::Gone) {
                tracing::info!(tenant.id = %tenant_id, endpoint.id = %endpoint_id, "endpoint disabled: it answered 410");
            }
            self.tell(&tenant_id, endpoint_id, fact);
        }
        Ok(held)
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
    if !endpoints::disable_gone(connection, tenant_id, endpoint_id).await? {
        return Ok(false);
    }
    let entry = Entry {
        actor: &Actor::Trunkline,
        action: Action::DisableGoneEndpoint,
        tenant_id: Some(tenant_id),
        target: Some(endpoint_id.to_string()),
        request_id: None,
    };
    audit::record(connection, entry, now).await?;
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

impl Change {
    fn new(tenant_id: &TenantId) -> Self {
        Self { tenant_id: tenant_id.clone(), paused_until: None, is_gone: false, breaker: None, health: None }
    }

    /// Adds how it fares now to what is not written yet of how it fared before.
    fn note_health(&mut self, mut health: Health) {
        if let Some(earlier) = self.health.as_ref().filter(|_| health.is_failing && !health.is_afresh) {
            health.is_afresh = earlier.is_afresh || !earlier.is_failing;
            health.failures = health.failures.saturating_add(earlier.failures);
        }
        self.health = Some(health);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_that_could_not_be_written_are_counted_with_those_after_unless_it_was_well_in_between() {
        let (acme, endpoint_id) = ("acme".parse().unwrap(), EndpointId::from(uuid::Uuid::nil()));
        let failing =
            |failures, is_afresh| Counted { failures, is_afresh, ..Counted::new(&acme) }.take(endpoint_id);
        let well = || Counted::new(&acme).well(endpoint_id);
        for (noted, expected) in [
            (vec![failing(2, false), failing(3, false)], (true, false, 5)),
            (vec![failing(2, true), failing(3, false)], (true, true, 5)),
            (vec![failing(2, false), failing(3, true)], (true, true, 3)),
            (vec![failing(2, false), well(), failing(3, false)], (true, true, 3)),
            (vec![failing(2, false), well()], (false, false, 0)),
        ] {
            let mut change = Change::new(&acme);
            noted.into_iter().for_each(|health| change.note_health(health));
            let health = change.health.unwrap();
            assert_eq!((health.is_failing, health.is_afresh, health.failures), expected);
        }
    }
}
