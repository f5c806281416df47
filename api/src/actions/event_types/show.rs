use actix_web::web;
use trunkline_store::event_types;

use super::{DescribedType, EventTypeAnswer, event_type};
use crate::auth::Reader;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// Show an event type
#[utoipa::path(
    operation_id = "showEventType",
    get, path = "/v1/event-types/{type}", tag = "event types", security(("key" = [])),
    params(("type" = String, Path, description = "As events carry it, percent-encoded")),
    responses(
        (status = 200, description = "The type.", body = EventTypeAnswer),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope read.", body = ProblemBody),
        (status = 404, description = "It was not described.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    state: web::Data<State>,
    path: web::Path<String>,
    Reader(owner): Reader,
) -> Result<web::Json<EventTypeAnswer>, Problem> {
    let event_type = event_type(&path)?;
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    let found = event_types::find(&mut connection, &owner.tenant_id, &event_type).await?;
    let found = found.ok_or_else(Problem::no_event_type)?;
    Ok(web::Json(EventTypeAnswer { event_type: DescribedType::of(found)? }))
}
