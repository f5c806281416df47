use actix_web::web;
use chrono::Duration;
use serde::Deserialize;
use trunkline_store::audit::Action;
use trunkline_store::{StoreError, endpoints};
use utoipa::ToSchema;

use super::super::tenants::seal;
use super::{EndpointWithSecret, id, new_secret, secret_or_new, shown};
use crate::audit::{Trail, What};
use crate::auth::Writer;
use crate::body::Optional;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

const OVERLAP_DEFAULT: u32 = 24 * 3_600;
const OVERLAP_MAX: u32 = 7 * 24 * 3_600;

/// The new secret, and for how long the old one signs beside it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotation {
    /// `whsec_` and base64 of 24-64 bytes, or 24-64 visible ASCII characters; one is made where there is none.
    webhook_secret: Option<String>,
    /// 0 to 604800 (7 days); 86400 if it is not said.
    overlap_seconds: Option<u32>,
}

/// Rotate an endpoint's secret
///
/// Deliveries are signed with the new secret, and with the old ones until the overlap is over; at most five old ones are kept.
#[utoipa::path(
    operation_id = "rotateEndpointSecret",
    post, path = "/v1/endpoints/{endpoint_id}/rotate-secret", tag = "endpoints", security(("key" = [])),
    params(("endpoint_id" = String, Path, description = "ep_...")),
    request_body = Rotation,
    responses(
        (status = 200, description = "Rotated; the new secret is shown this once.", body = EndpointWithSecret),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 404, description = "There is none, or it is another tenant's.", body = ProblemBody),
        (status = 413, description = "The body is too large.", body = ProblemBody),
        (status = 415, description = "The body is not JSON.", body = ProblemBody),
        (status = 422, description = "A field is unknown or has an invalid value.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn rotate(
    state: web::Data<State>,
    path: web::Path<String>,
    Writer(owner): Writer,
    trail: Trail,
    Optional(rotation): Optional<Rotation>,
) -> Result<web::Json<EndpointWithSecret>, Problem> {
    let (tenant_id, endpoint_id) = (&owner.tenant_id, id(&path)?);
    let overlap = rotation.overlap_seconds.unwrap_or(OVERLAP_DEFAULT);
    if overlap > OVERLAP_MAX {
        let detail = format!("overlap_seconds accepts 0 to {OVERLAP_MAX} (7 days).");
        return Err(Problem::bad_field("overlap_seconds", &detail));
    }
    let secret = secret_or_new(rotation.webhook_secret.as_deref())?;
    let sealed = seal(&state, tenant_id, endpoint_id, &secret)?;
    let now = state.clock.now();
    let until = now + Duration::seconds(overlap.into());
    let mut transaction = state.for_tenant(&owner.tenant_id).await?;
    if !endpoints::lock(&mut transaction, tenant_id, endpoint_id).await? {
        return Err(Problem::no_endpoint());
    }
    endpoints::retire_secrets(&mut transaction, tenant_id, endpoint_id, until).await?;
    endpoints::add_secret(&mut transaction, tenant_id, endpoint_id, &new_secret(&sealed, now), now).await?;
    let what = What { tenant_id, target: Some(endpoint_id.to_string()) };
    trail.record(&mut transaction, Action::RotateSecret, what, now).await?;
    let endpoint = shown(&mut transaction, tenant_id, endpoint_id).await?;
    transaction.commit().await.map_err(StoreError::from)?;
    Ok(web::Json(EndpointWithSecret::new(endpoint, &secret)))
}
