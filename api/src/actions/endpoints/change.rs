use actix_web::web;
use trunkline_store::StoreError;
use trunkline_store::audit::Action;
use trunkline_store::endpoints::{self, Saved};

use super::settings::SettingsChange;
use super::{OneEndpoint, id, shown};
use crate::audit::{Trail, What};
use crate::auth::Writer;
use crate::body::Json;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// Change an endpoint
///
/// What is absent stays, null stands for the default; lists and objects are replaced whole. In effect for whatever is
/// published from now on, and for what waits already.
#[utoipa::path(
    operation_id = "changeEndpoint",
    patch, path = "/v1/endpoints/{endpoint_id}", tag = "endpoints", security(("key" = [])),
    params(("endpoint_id" = String, Path, description = "ep_...")),
    request_body = SettingsChange,
    responses(
        (status = 200, description = "Changed.", body = OneEndpoint),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 404, description = "There is none, or it is another tenant's.", body = ProblemBody),
        (status = 409, description = "The name is in use.", body = ProblemBody),
        (status = 413, description = "The body is too large.", body = ProblemBody),
        (status = 415, description = "The body is not JSON.", body = ProblemBody),
        (status = 422, description = "A field is unknown or has an invalid value.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn change(
    state: web::Data<State>,
    path: web::Path<String>,
    Writer(owner): Writer,
    trail: Trail,
    Json(change): Json<SettingsChange>,
) -> Result<web::Json<OneEndpoint>, Problem> {
    let (tenant_id, endpoint_id) = (&owner.tenant_id, id(&path)?);
    if change.webhook_secret.is_some() {
        let detail =
            "A secret is changed by POST .../rotate-secret, so that the old one signs beside it for a while.";
        return Err(Problem::bad_field("webhook_secret", detail));
    }
    let mut transaction = state.for_tenant(&owner.tenant_id).await?;
    change.check_filter(&mut transaction).await?;
    if !endpoints::lock(&mut transaction, tenant_id, endpoint_id).await? {
        return Err(Problem::no_endpoint());
    }
    let now = state.clock.now();
    let found = endpoints::find(&mut transaction, tenant_id, endpoint_id).await?;
    let found = found.ok_or_else(Problem::no_endpoint)?;
    let settings =
        change.apply(&state, (tenant_id, endpoint_id), found.settings.clone(), found.operational)?;
    if settings == found.settings {
        return Ok(web::Json(OneEndpoint::new(found.into())));
    }
    match endpoints::save(&mut transaction, tenant_id, endpoint_id, &settings, now).await? {
        Saved::Done => {}
        Saved::NameTaken => return Err(Problem::endpoint_exists()),
        Saved::Gone => return Err(Problem::no_endpoint()),
    }
    let what = What { tenant_id, target: Some(endpoint_id.to_string()) };
    trail.record(&mut transaction, Action::ChangeEndpoint, what, now).await?;
    let endpoint = shown(&mut transaction, tenant_id, endpoint_id).await?;
    transaction.commit().await.map_err(StoreError::from)?;
    Ok(web::Json(OneEndpoint::new(endpoint)))
}
