use actix_web::web;
use serde::Serialize;
use trunkline_domain::{DeliveryStatus, EndpointId, EventId};
use trunkline_store::deliveries::{self, Reopened};
use trunkline_store::{StoreError, events};
use utoipa::ToSchema;

use super::id;
use crate::auth::Writer;
use crate::body::NoBody;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// A delivery that is due again.
#[derive(Serialize, ToSchema)]
pub(crate) struct RetriedDelivery {
    #[schema(value_type = String)]
    event_id: EventId,
    #[schema(value_type = String)]
    endpoint_id: EndpointId,
    #[schema(value_type = String, example = "PENDING")]
    status: DeliveryStatus,
    message: &'static str,
}

/// Retry one delivery
///
/// As retrying the event, but only to this endpoint: due at once with a fresh budget, past a pause.
#[utoipa::path(
    operation_id = "retryDelivery",
    post, path = "/v1/events/{event_id}/deliveries/{endpoint_id}/retry", tag = "events", security(("key" = [])),
    params(
        ("event_id" = String, Path, description = "evt_..."),
        ("endpoint_id" = String, Path, description = "ep_..."),
    ),
    responses(
        (status = 200, description = "Due at once.", body = RetriedDelivery),
        (status = 400, description = "It is not FAILED.", body = ProblemBody),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 404, description = "There is no such event or delivery, or it is another tenant's.", body = ProblemBody),
        (status = 410, description = "Its payload was erased, or its endpoint deleted.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn retry(
    state: web::Data<State>,
    path: web::Path<(String, String)>,
    Writer(owner): Writer,
    _body: NoBody,
) -> Result<web::Json<RetriedDelivery>, Problem> {
    let event_id = id(&path.0)?;
    let endpoint_id: Option<EndpointId> = path.1.parse().ok();
    let (lane, tenant) = (owner.lane, &owner.tenant_id);
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    let Some(endpoint_id) = endpoint_id else {
        let event = events::shown_status(&mut connection, lane, tenant, event_id).await?;
        return Err(event.map_or_else(Problem::no_event, |_| Problem::no_delivery()));
    };
    let now = state.clock.now();
    match deliveries::reopen(&mut connection, lane, tenant, event_id, Some(endpoint_id), now).await? {
        Reopened::Deliveries(_) => {}
        Reopened::PayloadGone => return Err(Problem::payload_gone()),
        Reopened::EndpointGone => return Err(Problem::endpoint_gone()),
        Reopened::NoneFailed => {
            let delivery = deliveries::status(&mut connection, lane, tenant, event_id, endpoint_id).await?;
            if let Some(status) = delivery {
                return Err(Problem::delivery_not_retryable(status));
            }
            let event = events::shown_status(&mut connection, lane, tenant, event_id).await?;
            return Err(event.map_or_else(Problem::no_event, |_| Problem::no_delivery()));
        }
    }
    connection.commit().await.map_err(StoreError::from)?;
    state.waker.wake();
    let message = "The delivery is due again, with a fresh attempt budget.";
    Ok(web::Json(RetriedDelivery { event_id, endpoint_id, status: DeliveryStatus::Pending, message }))
}
