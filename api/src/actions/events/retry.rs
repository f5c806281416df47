use actix_web::web;
use serde::{Deserialize, Serialize};
use trunkline_domain::{EventId, EventStatus};
use trunkline_store::api_keys::KeyOwner;
use trunkline_store::deliveries::{self, Reopened};
use trunkline_store::{StoreError, events};
use utoipa::ToSchema;

use super::id;
use crate::auth::Writer;
use crate::body::{Json, NoBody};
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// An event whose failed deliveries are due again.
#[derive(Serialize, ToSchema)]
pub(crate) struct Retried {
    #[schema(value_type = String)]
    event_id: EventId,
    #[schema(value_type = String, example = "PENDING")]
    status: EventStatus,
    message: String,
}

/// The one change that an event takes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// PENDING: retry.
    #[schema(example = "PENDING")]
    status: String,
}

/// Retry an event
///
/// Its failed deliveries, dead letters too, are due at once with a fresh budget; `attempts` counts on. A pause of the
/// endpoint is passed.
#[utoipa::path(
    operation_id = "retryEvent",
    post, path = "/v1/events/{event_id}/retry", tag = "events", security(("key" = [])),
    params(("event_id" = String, Path, description = "evt_...")),
    responses(
        (status = 200, description = "Due at once.", body = Retried),
        (status = 400, description = "It is not FAILED.", body = ProblemBody),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 404, description = "There is none, or it is another tenant's.", body = ProblemBody),
        (status = 410, description = "Its payload was erased, or its endpoint deleted.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn retry(
    state: web::Data<State>,
    path: web::Path<String>,
    Writer(owner): Writer,
    _body: NoBody,
) -> Result<web::Json<Retried>, Problem> {
    reopen(&state, &owner, id(&path)?).await
}

/// Change an event
///
/// `{"status":"PENDING"}` is the same as retry; an event takes no other change.
#[utoipa::path(
    operation_id = "changeEvent",
    patch, path = "/v1/events/{event_id}", tag = "events", security(("key" = [])),
    params(("event_id" = String, Path, description = "evt_...")),
    request_body = Change,
    responses(
        (status = 200, description = "Due at once.", body = Retried),
        (status = 400, description = "It is not FAILED.", body = ProblemBody),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 404, description = "There is none, or it is another tenant's.", body = ProblemBody),
        (status = 410, description = "Its payload was erased, or its endpoint deleted.", body = ProblemBody),
        (status = 413, description = "The body is too large.", body = ProblemBody),
        (status = 415, description = "The body is not JSON.", body = ProblemBody),
        (status = 422, description = "Another change than this.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn change(
    state: web::Data<State>,
    path: web::Path<String>,
    Writer(owner): Writer,
    Json(change): Json<Change>,
) -> Result<web::Json<Retried>, Problem> {
    let event_id = id(&path)?;
    if change.status != EventStatus::Pending.as_str() {
        return Err(Problem::bad_field("status", "status accepts PENDING only, which retries the event."));
    }
    reopen(&state, &owner, event_id).await
}

async fn reopen(state: &State, owner: &KeyOwner, event_id: EventId) -> Result<web::Json<Retried>, Problem> {
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    let (lane, tenant) = (owner.lane, &owner.tenant_id);
    let reopened =
        deliveries::reopen(&mut connection, lane, tenant, event_id, None, state.clock.now()).await?;
    let count = match reopened {
        Reopened::Deliveries(count) => count,
        Reopened::PayloadGone => return Err(Problem::payload_gone()),
        Reopened::EndpointGone => return Err(Problem::endpoint_gone()),
        Reopened::NoneFailed => {
            let status = events::shown_status(&mut connection, lane, tenant, event_id).await?;
            return Err(status.map_or_else(Problem::no_event, Problem::not_retryable));
        }
    };
    connection.commit().await.map_err(StoreError::from)?;
    state.waker.wake();
    let noun = if count == 1 { "delivery is" } else { "deliveries are" };
    let message = format!("{count} {noun} due again, with a fresh attempt budget.");
    Ok(web::Json(Retried { event_id, status: EventStatus::Pending, message }))
}
