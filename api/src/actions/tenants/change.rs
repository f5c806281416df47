use actix_web::web;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trunkline_boot::random::random_bytes;
use trunkline_domain::{EndpointId, TenantId};
use trunkline_egress::TargetUrl;
use trunkline_signing::Secret;
use trunkline_store::audit::Action;
use trunkline_store::endpoints::NewSecret;
use trunkline_store::tenants::{self, DefaultEndpointChange, RateChange, TenantStatus};
use trunkline_store::{Connection, StoreError};
use utoipa::ToSchema;

use super::{Tenant, id, rate, retention_days, seal, secret, target_url};
use crate::audit::{Trail, What};
use crate::auth::{Caller, Writer};
use crate::body::{Json, present};
use crate::problem::{Problem, ProblemBody};
use crate::saving::ROTATION_OVERLAP;
use crate::state::State;

/// What to change; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantChange {
    /// Where its events go from now on.
    #[schema(example = "https://example.com/webhooks")]
    target_url: Option<String>,
    /// What they are signed with; the old secret signs beside it for 24 hours.
    webhook_secret: Option<String>,
    /// Its events are shown for so many days, 1 to 3650, and erased after; null = as long as the operator keeps all.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u32>, example = 30)]
    retention_days: Option<Option<u32>>,
    /// With an operator's key only, at `/v1/tenants/{tenant_id}`: it may publish so many events a second, 0 to 1000000; 0 = no limit, null
    /// = the installation's rate.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u32>, example = 1000)]
    rate_per_second: Option<Option<u32>>,
    /// With an operator's key only, at `/v1/tenants/{tenant_id}`: it may publish so many events at once, 1 to 1000000; null = the
    /// installation's burst.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u32>, example = 2000)]
    burst: Option<Option<u32>>,
}

impl TenantChange {
    /// Whether it changes what only an operator may.
    fn is_an_operators(&self) -> bool {
        self.rate_per_second.is_some() || self.burst.is_some()
    }

    /// The rate, within its limits.
    fn rate(&self) -> Result<RateChange, Problem> {
        let checked = |field, least, number: Option<Option<u32>>| {
            let number = number.map(|number| number.map(|number| rate(field, least, number)).transpose());
            number.transpose()
        };
        Ok(RateChange {
            rate_per_second: checked("rate_per_second", 0, self.rate_per_second)?,
            burst: checked("burst", 1, self.burst)?,
        })
    }
}

/// A tenant after the change.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChangedTenant {
    tenant: Tenant,
    #[schema(example = "target_url updated.")]
    message: String,
}

/// Change one's own tenant
///
/// Address and secret of its endpoint named `default`, in effect for whatever is published from now on; how long its events are kept:
/// what is older is not shown any more, and then erased.
#[utoipa::path(
    operation_id = "changeOwnTenant",
    patch, path = "/v1/tenants/current", tag = "tenants", security(("key" = [])),
    request_body = TenantChange,
    responses(
        (status = 200, description = "Changed.", body = ChangedTenant),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write, or a field is an operator's.", body = ProblemBody),
        (status = 404, description = "It has no endpoint named default.", body = ProblemBody),
        (status = 413, description = "The body is too large.", body = ProblemBody),
        (status = 415, description = "The body is not JSON.", body = ProblemBody),
        (status = 422, description = "A field has an invalid value.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn current(
    state: web::Data<State>,
    Writer(owner): Writer,
    trail: Trail,
    Json(change): Json<TenantChange>,
) -> Result<web::Json<ChangedTenant>, Problem> {
    if change.is_an_operators() {
        return Err(Problem::operator_only());
    }
    apply(&state, (&owner.tenant_id, &trail), &change).await
}

/// Change a tenant
///
/// As a tenant changes itself; with an operator's key also how much it may publish, in effect within five seconds.
#[utoipa::path(
    operation_id = "changeTenant",
    patch, path = "/v1/tenants/{tenant_id}", tag = "tenants", security(("key" = []), ("operator" = [])),
    params(("tenant_id" = String, Path, description = "The tenant; a tenant's key opens its own only")),
    request_body = TenantChange,
    responses(
        (status = 200, description = "Changed.", body = ChangedTenant),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "Another tenant's, the key lacks the scope write, or a field is an operator's.", body = ProblemBody),
        (status = 404, description = "There is none (shown to operators only), or it has no endpoint named default.", body = ProblemBody),
        (status = 413, description = "The body is too large.", body = ProblemBody),
        (status = 415, description = "The body is not JSON.", body = ProblemBody),
        (status = 422, description = "A field has an invalid value.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn change(
    state: web::Data<State>,
    path: web::Path<String>,
    caller: Caller,
    trail: Trail,
    Json(change): Json<TenantChange>,
) -> Result<web::Json<ChangedTenant>, Problem> {
    let tenant_id = id(&path)?;
    caller.may(&tenant_id, true)?;
    if change.is_an_operators() && !matches!(caller, Caller::Operator) {
        return Err(Problem::operator_only());
    }
    apply(&state, (&tenant_id, &trail), &change).await
}

async fn apply(
    state: &State,
    (tenant_id, trail): (&TenantId, &Trail),
    change: &TenantChange,
) -> Result<web::Json<ChangedTenant>, Problem> {
    let changes = [
        ("target_url", change.target_url.is_some()),
        ("webhook_secret", change.webhook_secret.is_some()),
        ("retention_days", change.retention_days.is_some()),
        ("rate_per_second", change.rate_per_second.is_some()),
        ("burst", change.burst.is_some()),
    ];
    let given: Vec<&str> = changes.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name).collect();
    let message = match given.as_slice() {
        [] => {
            return Err(Problem::bad_field(
                "target_url",
                "Nothing to change: send target_url, webhook_secret or retention_days, or with an operator's key rate_per_second or burst.",
            ));
        }
        [one] => format!("{one} updated."),
        [first @ .., last] => format!("{} and {last} updated.", first.join(", ")),
    };
    let retention = change.retention_days.map(|days| days.map(retention_days).transpose()).transpose()?;
    let url = change.target_url.as_deref().map(|text| target_url(state, text)).transpose()?;
    let secret = change.webhook_secret.as_deref().map(secret).transpose()?;
    let rate = change.rate()?;
    // The role of tenants has no right to their rates.
    let mut connection = if change.is_an_operators() {
        state.for_operator().await?
    } else {
        state.for_tenant(tenant_id).await?
    };
    let found = tenants::find(&mut connection, tenant_id).await?;
    let tenant =
        found.filter(|tenant| tenant.status != TenantStatus::Deleted).ok_or_else(Problem::no_tenant)?;
    let now = state.clock.now();
    if url.is_some() || secret.is_some() {
        let endpoint_id = tenant.default_endpoint_id.ok_or_else(Problem::no_default_endpoint)?;
        change_default_endpoint(state, &mut connection, tenant_id, endpoint_id, url, secret, now).await?;
    }
    if let Some(days) = retention
        && !tenants::set_retention(&mut connection, tenant_id, days, now).await?
    {
        return Err(Problem::no_tenant());
    }
    if change.is_an_operators() && !tenants::set_rate(&mut connection, tenant_id, rate, now).await? {
        return Err(Problem::no_tenant());
    }
    trail.record(&mut connection, Action::ChangeTenant, What { tenant_id, target: None }, now).await?;
    let changed = tenants::find(&mut connection, tenant_id).await?.ok_or_else(Problem::no_tenant)?;
    connection.commit().await.map_err(StoreError::from)?;
    Ok(web::Json(ChangedTenant { tenant: changed.into(), message }))
}

async fn change_default_endpoint(
    state: &State,
    connection: &mut Connection,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
    url: Option<TargetUrl>,
    secret: Option<Secret>,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let sealed = secret.map(|secret| seal(state, tenant_id, endpoint_id, &secret)).transpose()?;
    let secret_id = EndpointId::mint(now, u64::from_ne_bytes(random_bytes())).as_uuid();
    let change = DefaultEndpointChange {
        url: url.as_ref().map(TargetUrl::as_str),
        secret: sealed.as_ref().map(|sealed| NewSecret {
            secret_id,
            key_id: &sealed.key_id,
            sealed: &sealed.bytes,
        }),
        old_secrets_valid_until: Some(now + ROTATION_OVERLAP),
    };
    let found = tenants::update_default_endpoint(connection, tenant_id, endpoint_id, &change, now).await?;
    found.then_some(()).ok_or_else(Problem::no_default_endpoint)
}
