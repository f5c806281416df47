//! What attempts mean for their endpoints: pauses, 410, and whether they fare well. Few attempts have any.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use trunkline_boot::Clock;
use trunkline_domain::outcome::Consequence;
use trunkline_domain::{AttemptOutcome, EndpointId, TenantId};
use trunkline_store::{Pool, StoreError, endpoints};

use crate::attempt::Ended;

/// Writes them to the endpoints' rows. A failure is told and passed over: the endpoint will answer the same again.
pub(super) async fn apply(pool: &Pool, clock: &Clock, batch: &[Ended]) {
    let now = clock.now();
    let changes = Changes::of(batch, now);
    if let Err(error) = changes.write(pool, now).await {
        tracing::warn!(%error, "an endpoint's pause or state could not be written; its next answer will");
    }
}

#[derive(Default)]
struct Changes {
    health: Vec<(TenantId, EndpointId, bool)>,
    pauses: HashMap<EndpointId, (TenantId, DateTime<Utc>)>,
    gone: HashMap<EndpointId, TenantId>,
}

impl Changes {
    fn of(batch: &[Ended], now: DateTime<Utc>) -> Self {
        let mut changes = Self::default();
        // The last attempt of the batch tells how an endpoint fares.
        let mut last_of: HashMap<EndpointId, &Ended> = HashMap::new();
        for one in batch {
            // Our own faults say nothing of an endpoint.
            if one.attempt.outcome != AttemptOutcome::InternalError {
                last_of.insert(one.callable.endpoint_id, one);
            }
            let (tenant_id, endpoint_id) = (one.callable.tenant_id.clone(), one.callable.endpoint_id);
            match one.consequence {
                Consequence::None => {}
                Consequence::Disable => {
                    changes.gone.insert(endpoint_id, tenant_id);
                }
                Consequence::Pause(wait) => {
                    let until = now + wait;
                    let pause = changes.pauses.entry(endpoint_id).or_insert((tenant_id, until));
                    pause.1 = pause.1.max(until);
                }
            }
        }
        for (endpoint_id, one) in last_of {
            let failing = one.attempt.outcome != AttemptOutcome::Succeeded;
            if one.callable.note_failing(failing) {
                changes.health.push((one.callable.tenant_id.clone(), endpoint_id, failing));
            }
        }
        changes
    }

    async fn write(&self, pool: &Pool, now: DateTime<Utc>) -> Result<(), StoreError> {
        if self.health.is_empty() && self.pauses.is_empty() && self.gone.is_empty() {
            return Ok(());
        }
        let mut connection = pool.acquire().await?;
        for (endpoint_id, (tenant_id, until)) in &self.pauses {
            endpoints::pause(&mut connection, tenant_id, *endpoint_id, *until).await?;
        }
        for (endpoint_id, tenant_id) in &self.gone {
            if endpoints::disable_gone(&mut connection, tenant_id, *endpoint_id).await? {
                tracing::info!(tenant.id = %tenant_id, endpoint.id = %endpoint_id, "endpoint disabled: it answered 410");
            }
        }
        if !self.health.is_empty() {
            endpoints::note_health(&mut connection, &self.health, now).await?;
        }
        Ok(())
    }
}
