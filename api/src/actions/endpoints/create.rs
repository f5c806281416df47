use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, web};
use trunkline_domain::EndpointSettings;
use trunkline_store::StoreError;
use trunkline_store::audit::Action;
use trunkline_store::endpoints::{self, Added, ENDPOINTS_MAX};

use super::settings::SettingsChange;
use super::{Draft, EndpointWithSecret, secret_or_new, shown};
use crate::audit::{Trail, What};
use crate::auth::Writer;
use crate::body::Json;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// Create an endpoint
///
/// Events published from then on that match it are delivered to it too.
#[utoipa::path(
    operation_id = "createEndpoint",
    post, path = "/v1/endpoints", tag = "endpoints", security(("key" = [])),
    request_body = SettingsChange,
    responses(
        (status = 201, description = "Created; the secret is shown this once.", body = EndpointWithSecret, headers(("Location" = String, description = "The endpoint"))),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 409, description = "The name is in use, or the tenant has 1,000 endpoints.", body = ProblemBody),
        (status = 413, description = "The body is too large.", body = ProblemBody),
        (status = 415, description = "The body is not JSON.", body = ProblemBody),
        (status = 422, description = "A field is missing, unknown, or has an invalid value.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn create(
    state: web::Data<State>,
    Writer(owner): Writer,
    trail: Trail,
    Json(wanted): Json<SettingsChange>,
) -> Result<HttpResponse, Problem> {
    let tenant_id = &owner.tenant_id;
    for (field, is_there) in [("name", wanted.name.is_some()), ("url", wanted.url.is_some())] {
        if !is_there {
            return Err(Problem::bad_field(
                field,
                &format!("{field} is missing; name and url must be there."),
            ));
        }
    }
    let secret = secret_or_new(wanted.webhook_secret.as_deref())?;
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    wanted.check_filter(&mut connection).await?;
    let draft = Draft::new(&state, tenant_id, &secret)?;
    let owner = (tenant_id, draft.endpoint_id);
    let settings = wanted.apply(&state, owner, EndpointSettings::default(), false)?;
    let row = draft.to_row(tenant_id, &settings.name, &settings.url);
    match endpoints::add(&mut connection, &row, &settings, false).await? {
        Added::Done => {}
        Added::NameTaken => return Err(Problem::endpoint_exists()),
        Added::TooMany => return Err(Problem::too_many_endpoints(ENDPOINTS_MAX)),
        Added::NoTenant => return Err(Problem::unauthenticated()),
    }
    let what = What { tenant_id, target: Some(draft.endpoint_id.to_string()) };
    trail.record(&mut connection, Action::CreateEndpoint, what, state.clock.now()).await?;
    let endpoint = shown(&mut connection, tenant_id, draft.endpoint_id).await?;
    connection.commit().await.map_err(StoreError::from)?;
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, format!("/v1/endpoints/{}", draft.endpoint_id)))
        .json(EndpointWithSecret::new(endpoint, &secret)))
}
