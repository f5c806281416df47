use actix_web::web;
use chrono::Duration;
use serde::{Deserialize, Serialize};
use trunkline_boot::random::random_bytes;
use trunkline_domain::{EndpointId, TenantId};
use trunkline_egress::TargetUrl;
use trunkline_store::StoreError;
use trunkline_store::audit::Action;
use trunkline_store::endpoints::NewSecret;
use trunkline_store::tenants::{self, DefaultEndpointChange, TenantStatus};
use utoipa::ToSchema;

use super::{Tenant, id, seal, secret, target_url};
use crate::audit::{Trail, What};
use crate::auth::{Caller, Writer};
use crate::body::Json;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// How long the old secret signs beside a new one, so that receivers can be changed in between.
const ROTATION_OVERLAP: Duration = Duration::hours(24);

/// What to change; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantChange {
    /// Where its events go from now on.
    #[schema(example = "https://example.com/webhooks")]
    target_url: Option<String>,
    /// What they are signed with; the old secret signs beside it for 24 hours.
    webhook_secret: Option<String>,
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
/// Address and secret of its endpoint named `default`; in effect within a second or two.
#[utoipa::path(
    operation_id = "changeOwnTenant",
    patch, path = "/v1/tenants/current", tag = "tenants", security(("key" = [])),
    request_body = TenantChange,
    responses(
        (status = 200, description = "Changed.", body = ChangedTenant),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
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
    apply(&state, (&owner.tenant_id, &trail), &change).await
}

/// Change a tenant
#[utoipa::path(
    operation_id = "changeTenant",
    patch, path = "/v1/tenants/{tenant_id}", tag = "tenants", security(("key" = []), ("operator" = [])),
    params(("tenant_id" = String, Path, description = "The tenant; a tenant's key opens its own only")),
    request_body = TenantChange,
    responses(
        (status = 200, description = "Changed.", body = ChangedTenant),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "Another tenant's, or the key lacks the scope write.", body = ProblemBody),
        (status = 404, description = "There is none (shown to operators only).", body = ProblemBody),
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
    apply(&state, (&tenant_id, &trail), &change).await
}

async fn apply(
    state: &State,
    (tenant_id, trail): (&TenantId, &Trail),
    change: &TenantChange,
) -> Result<web::Json<ChangedTenant>, Problem> {
    let message = match (&change.target_url, &change.webhook_secret) {
        (Some(_), Some(_)) => "target_url and webhook_secret updated.",
        (Some(_), None) => "target_url updated.",
        (None, Some(_)) => "webhook_secret updated.",
        (None, None) => {
            return Err(Problem::bad_field(
                "target_url",
                "Nothing to change: send target_url, webhook_secret or both.",
            ));
        }
    };
    let url = change.target_url.as_deref().map(|text| target_url(state, text)).transpose()?;
    let secret = change.webhook_secret.as_deref().map(secret).transpose()?;
    let mut connection = state.for_tenant(tenant_id).await?;
    let found = tenants::find(&mut connection, tenant_id).await?;
    let tenant =
        found.filter(|tenant| tenant.status != TenantStatus::Deleted).ok_or_else(Problem::no_tenant)?;
    let endpoint_id = tenant.default_endpoint_id.ok_or_else(Problem::no_tenant)?;
    let now = state.clock.now();
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
    if !tenants::update_default_endpoint(&mut connection, tenant_id, endpoint_id, &change, now).await? {
        return Err(Problem::no_tenant());
    }
    trail.record(&mut connection, Action::ChangeTenant, What { tenant_id, target: None }, now).await?;
    let changed = tenants::find(&mut connection, tenant_id).await?.ok_or_else(Problem::no_tenant)?;
    connection.commit().await.map_err(StoreError::from)?;
    Ok(web::Json(ChangedTenant { tenant: changed.into(), message: message.to_owned() }))
}
