use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use trunkline_domain::endpoint::OPERATIONAL_NAME;
use trunkline_domain::{EndpointId, EndpointSettings};
use trunkline_store::api_keys::KeyOwner;
use trunkline_store::audit::Action;
use trunkline_store::endpoints::{self, Added, ENDPOINTS_MAX};
use trunkline_store::{Connection, StoreError};
use utoipa::ToSchema;

use super::super::endpoints::delete::{DeletedEndpoint, cancel_open};
use super::super::endpoints::{
    Draft, Endpoint, EndpointWithSecret, OneEndpoint, new_secret, secret_or_new, shown, target_url,
};
use super::seal;
use crate::audit::{Trail, What};
use crate::auth::{Reader, Writer};
use crate::body::{Json, NoBody};
use crate::problem::{Problem, ProblemBody};
use crate::saving::ROTATION_OVERLAP;
use crate::state::State;

/// Where it stands.
const PATH: &str = "/v1/tenants/current/operational-endpoint";

/// Where Trunkline's own news go.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OperationalRequest {
    #[schema(example = "https://example.com/trunkline-news")]
    url: String,
    /// As of any endpoint; one is made for a new endpoint where there is none, and an old one stays beside a new one for 24 hours.
    webhook_secret: Option<String>,
}

/// Set the operational endpoint
///
/// It gets what Trunkline has to tell (an endpoint was disabled, a delivery used up its attempts) and no other events.
#[utoipa::path(
    operation_id = "setOperationalEndpoint",
    put, path = "/v1/tenants/current/operational-endpoint", tag = "endpoints", security(("key" = [])),
    request_body = OperationalRequest,
    responses(
        (status = 200, description = "Changed.", body = OneEndpoint),
        (status = 201, description = "Created; the secret is shown this once.", body = EndpointWithSecret, headers(("Location" = String, description = "The endpoint"))),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 409, description = "The name operational is in use, or the tenant has 1,000 endpoints.", body = ProblemBody),
        (status = 413, description = "The body is too large.", body = ProblemBody),
        (status = 415, description = "The body is not JSON.", body = ProblemBody),
        (status = 422, description = "A field has an invalid value.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn set(
    state: web::Data<State>,
    Writer(owner): Writer,
    trail: Trail,
    Json(wanted): Json<OperationalRequest>,
) -> Result<HttpResponse, Problem> {
    let url = target_url(&state, &wanted.url)?.as_str().to_owned();
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    if let Some(endpoint_id) = endpoints::find_operational(&mut connection, &owner.tenant_id).await? {
        let endpoint = change(&state, &mut connection, &owner, endpoint_id, (url, &wanted)).await?;
        let what = What { tenant_id: &owner.tenant_id, target: Some(endpoint_id.to_string()) };
        trail.record(&mut connection, Action::ChangeEndpoint, what, state.clock.now()).await?;
        connection.commit().await.map_err(StoreError::from)?;
        return Ok(HttpResponse::Ok().json(OneEndpoint::new(endpoint)));
    }
    let secret = secret_or_new(wanted.webhook_secret.as_deref())?;
    let draft = Draft::new(&state, &owner.tenant_id, &secret)?;
    let settings = EndpointSettings { name: OPERATIONAL_NAME.to_owned(), url, ..EndpointSettings::default() };
    let row = draft.to_row(&owner.tenant_id, &settings.name, &settings.url);
    match endpoints::add(&mut connection, &row, &settings, true).await? {
        Added::Done => {}
        Added::NameTaken => return Err(Problem::endpoint_exists()),
        Added::TooMany => return Err(Problem::too_many_endpoints(ENDPOINTS_MAX)),
        Added::NoTenant => return Err(Problem::unauthenticated()),
    }
    let what = What { tenant_id: &owner.tenant_id, target: Some(draft.endpoint_id.to_string()) };
    trail.record(&mut connection, Action::CreateEndpoint, what, state.clock.now()).await?;
    let endpoint = shown(&mut connection, &owner.tenant_id, draft.endpoint_id).await?;
    connection.commit().await.map_err(StoreError::from)?;
    let created = EndpointWithSecret::new(endpoint, &secret);
    Ok(HttpResponse::Created().insert_header((LOCATION, PATH)).json(created))
}

async fn change(
    state: &State,
    connection: &mut Connection,
    owner: &KeyOwner,
    endpoint_id: EndpointId,
    (url, wanted): (String, &OperationalRequest),
) -> Result<Endpoint, Problem> {
    let (tenant_id, now) = (&owner.tenant_id, state.clock.now());
    let chosen = wanted.webhook_secret.as_deref().map(super::secret).transpose()?;
    let sealed = chosen.map(|secret| seal(state, tenant_id, endpoint_id, &secret)).transpose()?;
    if !endpoints::lock(connection, tenant_id, endpoint_id).await? {
        return Err(Problem::no_operational_endpoint());
    }
    let found = endpoints::find(connection, tenant_id, endpoint_id).await?;
    let mut settings = found.ok_or_else(Problem::no_operational_endpoint)?.settings;
    settings.url = url;
    endpoints::save(connection, tenant_id, endpoint_id, &settings, now).await?;
    if let Some(sealed) = &sealed {
        let until = now + ROTATION_OVERLAP;
        endpoints::retire_secrets(connection, tenant_id, endpoint_id, until).await?;
        endpoints::add_secret(connection, tenant_id, endpoint_id, &new_secret(sealed, now), now).await?;
    }
    let endpoint = shown(connection, tenant_id, endpoint_id).await?;
    Ok(endpoint)
}

/// Show the operational endpoint
#[utoipa::path(
    operation_id = "showOperationalEndpoint",
    get, path = "/v1/tenants/current/operational-endpoint", tag = "endpoints", security(("key" = [])),
    responses(
        (status = 200, description = "The endpoint.", body = OneEndpoint),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope read.", body = ProblemBody),
        (status = 404, description = "There is none.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    state: web::Data<State>,
    Reader(owner): Reader,
) -> Result<web::Json<OneEndpoint>, Problem> {
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    let found = endpoints::find_operational(&mut connection, &owner.tenant_id).await?;
    let endpoint_id = found.ok_or_else(Problem::no_operational_endpoint)?;
    let endpoint = shown(&mut connection, &owner.tenant_id, endpoint_id).await?;
    Ok(web::Json(OneEndpoint::new(endpoint)))
}

/// Delete the operational endpoint
#[utoipa::path(
    operation_id = "deleteOperationalEndpoint",
    delete, path = "/v1/tenants/current/operational-endpoint", tag = "endpoints", security(("key" = [])),
    responses(
        (status = 200, description = "Deleted.", body = DeletedEndpoint),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 404, description = "There is none.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn remove(
    state: web::Data<State>,
    Writer(owner): Writer,
    trail: Trail,
    _body: NoBody,
) -> Result<web::Json<DeletedEndpoint>, Problem> {
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    let found = endpoints::find_operational(&mut connection, &owner.tenant_id).await?;
    let endpoint_id = found.ok_or_else(Problem::no_operational_endpoint)?;
    let now = state.clock.now();
    if !endpoints::delete(&mut connection, &owner.tenant_id, endpoint_id, now).await? {
        return Err(Problem::no_operational_endpoint());
    }
    let what = What { tenant_id: &owner.tenant_id, target: Some(endpoint_id.to_string()) };
    trail.record(&mut connection, Action::DeleteEndpoint, what, now).await?;
    connection.commit().await.map_err(StoreError::from)?;
    let cancelled = cancel_open(&state, &owner, endpoint_id).await;
    Ok(web::Json(DeletedEndpoint { endpoint_id, cancelled }))
}
