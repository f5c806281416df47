use actix_web::web;
use trunkline_boot::random::random_bytes;
use trunkline_domain::ErasureId;
use trunkline_store::audit::Action;
use trunkline_store::{StoreError, attempts, erasures};

use super::id;
use crate::actions::erasures::Receipt;
use crate::audit::{Trail, What};
use crate::auth::Writer;
use crate::body::NoBody;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// Erase an event's payload
///
/// What of the event would still be attempted is cancelled, then its payload is gone for good; hash, size and history stay. An
/// attempt under way may send its copy all the same. Asked again, it answers the same receipt.
#[utoipa::path(
    operation_id = "erasePayload",
    delete, path = "/v1/events/{event_id}/content", tag = "erasures", security(("key" = [])),
    params(("event_id" = String, Path, description = "evt_...")),
    responses(
        (status = 200, description = "Erased.", body = Receipt),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 404, description = "There is none, or it is another tenant's.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn erase(
    state: web::Data<State>,
    path: web::Path<String>,
    Writer(owner): Writer,
    trail: Trail,
    _body: NoBody,
) -> Result<web::Json<Receipt>, Problem> {
    let event_id = id(&path)?;
    let (lane, tenant) = (owner.lane, &owner.tenant_id);
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    let event = attempts::event_facts(&mut connection, lane, tenant, event_id).await?;
    event.ok_or_else(Problem::no_event)?;
    let now = state.clock.now();
    let erasure_id = ErasureId::mint(now, u64::from_ne_bytes(random_bytes()));
    let (erased, released) =
        erasures::erase(&mut connection, lane, tenant, &[event_id], erasure_id, now).await?;
    if erased > 0 {
        let what = What { tenant_id: tenant, target: Some(event_id.to_string()) };
        trail.record(&mut connection, Action::ErasePayloads, what, now).await?;
    }
    let receipt = erasures::receipt_of(&mut connection, lane, tenant, event_id).await?;
    connection.commit().await.map_err(StoreError::from)?;
    state.waker.wake_released(&released);
    Ok(web::Json(receipt.ok_or_else(Problem::no_event)?.into()))
}
