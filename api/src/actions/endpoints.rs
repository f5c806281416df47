//! Endpoints: where a tenant's events go, and how.

pub(crate) mod change;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod rotate_secret;
mod settings;
pub(crate) mod show;
pub(crate) mod stats;
pub(crate) mod switch;
pub(crate) mod test;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_boot::random::random_bytes;
use trunkline_domain::endpoint::Ordering;
use trunkline_domain::{EndpointId, TenantId};
use trunkline_egress::TargetUrl;
use trunkline_signing::Secret;
use trunkline_store::endpoints::{EndpointDetail, NewEndpoint, NewSecret};
use trunkline_store::{Connection, endpoints};
use trunkline_vault::Sealed;
use utoipa::ToSchema;

use super::tenants::seal;
use crate::problem::Problem;
use crate::state::State;

/// Stands for the values of custom headers: they may be secrets.
const HIDDEN: &str = "***";

/// An endpoint.
#[derive(Serialize, ToSchema)]
pub(crate) struct Endpoint {
    #[schema(value_type = String, example = "ep_01a20ada2c007abc8123456789abcdef")]
    endpoint_id: EndpointId,
    #[schema(example = "orders to the shop")]
    name: String,
    #[schema(example = "https://example.com/webhooks")]
    url: String,
    description: Option<String>,
    /// Your own facts about it.
    metadata: BTreeMap<String, String>,
    /// Exact types or prefixes such as `order.*`; null = all.
    event_types: Option<Vec<String>>,
    /// An SQL/JSON path predicate; null = all.
    #[schema(example = "$.total > 100")]
    payload_filter: Option<String>,
    /// Names, and `***` for each value: values are not shown again.
    custom_headers: BTreeMap<String, &'static str>,
    /// Null = the installation's.
    timeout_ms: Option<u64>,
    /// Null = the installation's.
    retry_schedule_ms: Option<Vec<u64>>,
    /// Null = no limit.
    rate_per_second: Option<u32>,
    /// Null = the installation's.
    in_flight_max: Option<u32>,
    /// none, skip or block.
    #[schema(value_type = String, example = "none")]
    ordering: Ordering,
    /// False: new events do not match it, and its open deliveries wait.
    enabled: bool,
    /// manual, gone (it answered 410) or failing.
    disabled_reason: Option<String>,
    /// By hand: its deliveries wait until it is resumed.
    paused: bool,
    /// Its deliveries wait until then, because it answered Retry-After.
    paused_until: Option<DateTime<Utc>>,
    /// Whether it gets what Trunkline has to tell, and nothing else.
    operational: bool,
    /// The first failure since the last success.
    failing_since: Option<DateTime<Utc>>,
    /// Its circuit breaker keeps it from being called until then.
    breaker_open_until: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// An endpoint, as every route answers it.
#[derive(Serialize, ToSchema)]
pub(crate) struct OneEndpoint {
    endpoint: Endpoint,
}

/// An endpoint with the secret that is shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct EndpointWithSecret {
    endpoint: Endpoint,
    /// Shown once; kept encrypted.
    webhook_secret: String,
}

impl OneEndpoint {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }
}

impl EndpointWithSecret {
    pub(super) fn new(endpoint: Endpoint, secret: &Secret) -> Self {
        Self { endpoint, webhook_secret: secret.expose().to_owned() }
    }
}

impl From<EndpointDetail> for Endpoint {
    fn from(detail: EndpointDetail) -> Self {
        let settings = detail.settings;
        Self {
            endpoint_id: detail.endpoint_id,
            name: settings.name,
            url: settings.url,
            description: settings.description,
            metadata: settings.metadata,
            event_types: settings.event_types,
            payload_filter: settings.payload_filter,
            custom_headers: settings.custom_headers.into_keys().map(|name| (name, HIDDEN)).collect(),
            timeout_ms: settings.timeout.map(millis),
            retry_schedule_ms: settings.retry_schedule.map(|waits| waits.into_iter().map(millis).collect()),
            rate_per_second: settings.rate_per_second,
            in_flight_max: settings.in_flight_max,
            ordering: settings.ordering,
            enabled: detail.enabled,
            disabled_reason: detail.disabled_reason,
            paused: detail.paused,
            paused_until: detail.paused_until,
            operational: detail.operational,
            failing_since: detail.failing_since,
            breaker_open_until: detail.breaker_open_until,
            created_at: detail.created_at,
            updated_at: detail.updated_at,
        }
    }
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

/// An id in a path. One that is none is answered like one that does not exist.
fn id(text: &str) -> Result<EndpointId, Problem> {
    text.parse().map_err(|_| Problem::no_endpoint())
}

/// The endpoint as it is now.
pub(super) async fn shown(
    connection: &mut Connection,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
) -> Result<Endpoint, Problem> {
    let found = endpoints::find(connection, tenant_id, endpoint_id).await?;
    found.map(Endpoint::from).ok_or_else(Problem::no_endpoint)
}

/// Whether an address may be called, as far as its text tells.
pub(super) fn target_url(state: &State, text: &str) -> Result<TargetUrl, Problem> {
    state.egress.check_url(text).map_err(|refused| Problem::bad_field("url", &format!("url: {refused}.")))
}

/// The tenant's own choice, or a new one.
pub(super) fn secret_or_new(chosen: Option<&str>) -> Result<Secret, Problem> {
    chosen.map_or_else(|| Ok(Secret::generate(random_bytes())), super::tenants::secret)
}

/// An id and a sealed secret for an endpoint that is about to be added.
pub(super) struct Draft {
    pub(super) endpoint_id: EndpointId,
    now: DateTime<Utc>,
    sealed: Sealed,
}

impl Draft {
    pub(super) fn new(state: &State, tenant_id: &TenantId, secret: &Secret) -> Result<Self, Problem> {
        let now = state.clock.now();
        let endpoint_id = EndpointId::mint(now, u64::from_ne_bytes(random_bytes()));
        Ok(Self { endpoint_id, now, sealed: seal(state, tenant_id, endpoint_id, secret)? })
    }

    pub(super) fn to_row<'a>(
        &'a self,
        tenant_id: &'a TenantId,
        name: &'a str,
        url: &'a str,
    ) -> NewEndpoint<'a> {
        let (endpoint_id, created_at) = (self.endpoint_id, self.now);
        let secret = new_secret(&self.sealed, self.now);
        NewEndpoint { tenant_id, endpoint_id, name, url, secret, created_at }
    }
}

/// A sealed secret as a row, newer than every other of its endpoint.
pub(super) fn new_secret(sealed: &Sealed, now: DateTime<Utc>) -> NewSecret<'_> {
    let secret_id = EndpointId::mint(now, u64::from_ne_bytes(random_bytes())).as_uuid();
    NewSecret { secret_id, key_id: &sealed.key_id, sealed: &sealed.bytes }
}
