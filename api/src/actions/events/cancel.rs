use actix_web::web;
use serde::Serialize;
use trunkline_domain::{EventId, EventStatus};
use trunkline_store::{StoreError, deliveries, events};
use utoipa::ToSchema;

use super::id;
use crate::auth::Writer;
use crate::body::NoBody;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// What a cancel left.
#[derive(Serialize, ToSchema)]
pub(crate) struct Cancelled {
    #[schema(value_type = String)]
    event_id: EventId,
    /// The event's status afterwards.
    #[schema(value_type = String, example = "CANCELLED")]
    status: EventStatus,
    /// Deliveries that will not be attempted any more.
    cancelled: u64,
}

/// Cancel an event
///
/// Every delivery that would still be attempted is cancelled; dead letters stay. One that is under way may reach its
/// endpoint all the same.
#[utoipa::path(
    operation_id = "cancelEvent",
    delete, path = "/v1/events/{event_id}", tag = "events", security(("key" = [])),
    params(("event_id" = String, Path, description = "evt_...")),
    responses(
        (status = 200, description = "Cancelled.", body = Cancelled),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 404, description = "There is none, or it is another tenant's.", body = ProblemBody),
        (status = 409, description = "Nothing of it would still be attempted.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn cancel(
    state: web::Data<State>,
    path: web::Path<String>,
    Writer(owner): Writer,
    _body: NoBody,
) -> Result<web::Json<Cancelled>, Problem> {
    let event_id = id(&path)?;
    let (lane, tenant) = (owner.lane, &owner.tenant_id);
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    let (cancelled, released) =
        deliveries::cancel_in_order(&mut connection, lane, tenant, event_id, state.clock.now()).await?;
    let status =
        events::shown_status(&mut connection, lane, tenant, event_id).await?.ok_or_else(Problem::no_event)?;
    if cancelled == 0 {
        return Err(Problem::nothing_to_cancel(status));
    }
    connection.commit().await.map_err(StoreError::from)?;
    state.waker.wake_released(&released);
    Ok(web::Json(Cancelled { event_id, status, cancelled }))
}
