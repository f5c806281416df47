use std::time::{Duration, Instant};

use actix_web::web;
use serde::Serialize;
use trunkline_domain::TenantId;
use trunkline_store::audit::Action;
use trunkline_store::{StoreError, tenants};
use utoipa::ToSchema;

use super::id;
use crate::audit::{Trail, What};
use crate::auth::Operator;
use crate::body::NoBody;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// Deliveries and payloads settled in one transaction.
const BATCH: i64 = 1_000;

/// How long one request goes on; less than a search may take in all.
const WORKING: Duration = Duration::from_secs(4);

/// Until then another process may still take an event in, because it saw the key lately: it is looked for again.
const KEYS_REFUSED_AFTER: chrono::Duration = chrono::Duration::seconds(6);

/// A tenant that is no more, and what this request took.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeletedTenant {
    #[schema(value_type = String, example = "acme")]
    tenant_id: TenantId,
    #[schema(example = "DELETED")]
    status: &'static str,
    keys_revoked: u64,
    /// Each with its secrets.
    endpoints_deleted: u64,
    deliveries_cancelled: u64,
    payloads_erased: u64,
    /// Whether there is more to take, or may be: send it again.
    more: bool,
}

/// Delete a tenant
///
/// At once: its keys are revoked (refused everywhere within five seconds), its endpoints deleted with their secrets. Then its
/// open deliveries are cancelled and its payloads erased, as many as a few seconds allow: send it again until `more` is false,
/// which is six seconds after the first request at the earliest. Its history stays; its id is never given again.
#[utoipa::path(
    operation_id = "deleteTenant",
    delete, path = "/v1/tenants/{tenant_id}", tag = "tenants", security(("operator" = [])),
    params(("tenant_id" = String, Path, description = "The tenant")),
    responses(
        (status = 200, description = "Deleted.", body = DeletedTenant),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "Not an operator's key.", body = ProblemBody),
        (status = 404, description = "There never was such a tenant.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn delete(
    state: web::Data<State>,
    path: web::Path<String>,
    _operator: Operator,
    trail: Trail,
    _body: NoBody,
) -> Result<web::Json<DeletedTenant>, Problem> {
    let tenant_id = id(&path)?;
    let mut connection = state.search_for_operator().await?;
    let now = state.clock.now();
    let ended = tenants::end(&mut connection, &tenant_id, now).await?;
    let ended = ended.ok_or_else(Problem::no_tenant)?;
    // The first request; those after it go on with what it began.
    if ended.deleted_at.timestamp_micros() == now.timestamp_micros() {
        let what = What { tenant_id: &tenant_id, target: None };
        trail.record(&mut connection, Action::DeleteTenant, what, now).await?;
    }
    connection.commit().await.map_err(StoreError::from)?;
    for key in &ended.keys {
        state.keys.forget(key).await;
    }
    state.waker.wake();
    let (mut deliveries_cancelled, mut payloads_erased, mut is_left) = (0, 0, true);
    let started = Instant::now();
    while is_left && started.elapsed() < WORKING {
        let mut connection = state.search_for_operator().await?;
        let cleared =
            tenants::clear(&mut connection, ended.lane, &tenant_id, BATCH, state.clock.now()).await?;
        connection.commit().await.map_err(StoreError::from)?;
        deliveries_cancelled += cleared.cancelled;
        payloads_erased += cleared.payloads;
        is_left = cleared.most() >= BATCH.unsigned_abs();
    }
    Ok(web::Json(DeletedTenant {
        status: tenants::TenantStatus::Deleted.as_str(),
        keys_revoked: ended.keys.len() as u64,
        endpoints_deleted: ended.endpoints,
        deliveries_cancelled,
        payloads_erased,
        more: is_left || state.clock.now() < ended.deleted_at + KEYS_REFUSED_AFTER,
        tenant_id,
    }))
}
