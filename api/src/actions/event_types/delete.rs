use actix_web::{HttpResponse, web};
use trunkline_store::audit::Action;
use trunkline_store::{StoreError, event_types};

use super::event_type;
use crate::audit::{Trail, What};
use crate::auth::Writer;
use crate::body::NoBody;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// Delete an event type
///
/// What was said of it is forgotten, a schema that was enforced included. Events of the type are untouched.
#[utoipa::path(
    operation_id = "deleteEventType",
    delete, path = "/v1/event-types/{type}", tag = "event types", security(("key" = [])),
    params(("type" = String, Path, description = "As events carry it, percent-encoded")),
    responses(
        (status = 204, description = "Deleted."),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 404, description = "It was not described.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn delete(
    state: web::Data<State>,
    path: web::Path<String>,
    Writer(owner): Writer,
    trail: Trail,
    _body: NoBody,
) -> Result<HttpResponse, Problem> {
    let event_type = event_type(&path)?;
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    if !event_types::delete(&mut connection, &owner.tenant_id, &event_type).await? {
        return Err(Problem::no_event_type());
    }
    let what = What { tenant_id: &owner.tenant_id, target: Some(event_type.as_str().to_owned()) };
    trail.record(&mut connection, Action::DeleteEventType, what, state.clock.now()).await?;
    connection.commit().await.map_err(StoreError::from)?;
    state.schemas.changed(&owner.tenant_id, &event_type).await;
    Ok(HttpResponse::NoContent().finish())
}
