use std::time::Duration;

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest, Sha256};
use trunkline_boot::random::random_bytes;
use trunkline_domain::{EndpointId, EventId, EventStatus, NewEvent};
use trunkline_store::api_keys::KeyOwner;
use trunkline_store::{Connection, StoreError, attempts, endpoints, events};
use utoipa::ToSchema;

use super::id;
use crate::actions::events::publish::allow;
use crate::auth::Writer;
use crate::body::NoBody;
use crate::frame::traceparent;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

const TEST_TYPE: &str = "trunkline.test";

/// How long a caller waits for the outcome; most endpoints answer within a second.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Between two looks at the delivery.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What came of a test event.
#[derive(Serialize, ToSchema)]
pub(crate) struct TestOutcome {
    #[schema(value_type = String)]
    event_id: EventId,
    /// DELIVERED, FAILED, CANCELLED; PENDING where it takes longer than the answer waits.
    #[schema(value_type = String, example = "DELIVERED")]
    status: EventStatus,
    attempts: Vec<TestAttempt>,
}

/// One attempt of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct TestAttempt {
    number: u32,
    #[schema(example = "succeeded")]
    outcome: String,
    status_code: Option<i16>,
    duration_ms: Option<i32>,
    error: Option<String>,
}

/// Send a test event
///
/// A `trunkline.test` event for this endpoint alone: it passes filter, pause and circuit breaker. Like any event it is signed, kept in
/// history, and retried if it fails.
#[utoipa::path(
    operation_id = "testEndpoint",
    post, path = "/v1/endpoints/{endpoint_id}/test", tag = "endpoints", security(("key" = [])),
    params(("endpoint_id" = String, Path, description = "ep_...")),
    responses(
        (status = 200, description = "What came of the first attempt.", body = TestOutcome),
        (status = 202, description = "It takes longer than 5 s; look at the event.", body = TestOutcome, headers(("Location" = String, description = "The event"))),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write, or the tenant is suspended.", body = ProblemBody),
        (status = 404, description = "There is none, or it is another tenant's.", body = ProblemBody),
        (status = 409, description = "The endpoint is disabled.", body = ProblemBody),
        (status = 429, description = "Above the tenant's rate; see Retry-After.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn test(
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<String>,
    Writer(owner): Writer,
    _body: NoBody,
) -> Result<HttpResponse, Problem> {
    let endpoint_id = id(&path)?;
    // A test is an event like any other to whoever must carry it.
    allow(&state, &owner, 1).await?;
    let event_id = publish(&state, &owner, endpoint_id, traceparent(&request)).await?;
    let deadline = tokio::time::Instant::now() + WAIT_MAX;
    while tokio::time::Instant::now() < deadline {
        tokio::time::sleep(LOOK_EVERY).await;
        let mut connection = state.for_tenant(&owner.tenant_id).await?;
        let status = events::status(&mut connection, owner.lane, &owner.tenant_id, event_id).await?;
        if let Some(status) = status.filter(|status| *status != EventStatus::Pending) {
            let attempts = attempts_of(&mut connection, &owner, event_id).await?;
            return Ok(HttpResponse::Ok().json(TestOutcome { event_id, status, attempts }));
        }
    }
    let pending = TestOutcome { event_id, status: EventStatus::Pending, attempts: Vec::new() };
    Ok(HttpResponse::Accepted().insert_header((LOCATION, format!("/v1/events/{event_id}"))).json(pending))
}

async fn publish(
    state: &State,
    owner: &KeyOwner,
    endpoint_id: EndpointId,
    traceparent: Option<String>,
) -> Result<EventId, Problem> {
    let created_at = state.clock.now();
    let payload = serde_json::json!({
        "type": TEST_TYPE,
        "endpoint_id": endpoint_id,
        "message": "This is a test event from Trunkline.",
        "created_at": created_at,
    });
    let payload = Bytes::from(payload.to_string());
    let event = NewEvent {
        lane: owner.lane,
        tenant_id: owner.tenant_id.clone(),
        event_id: EventId::mint(created_at, u64::from_ne_bytes(random_bytes())),
        event_type: TEST_TYPE.parse().ok(),
        created_at,
        deliver_at: None,
        ordering_key: None,
        traceparent,
        is_judged: true,
        payload_sha256: Sha256::digest(&payload).into(),
        payload,
    };
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    if !events::publish_to(&mut connection, &event, endpoint_id).await? {
        // Nothing was stored: it is not there, or it is disabled.
        endpoints::find(&mut connection, &owner.tenant_id, endpoint_id)
            .await?
            .ok_or_else(Problem::no_endpoint)?;
        return Err(Problem::endpoint_disabled());
    }
    connection.commit().await.map_err(StoreError::from)?;
    // A hint says that something is due, not that it passes a pause: that is what a look finds.
    state.waker.wake();
    Ok(event.event_id)
}

async fn attempts_of(
    connection: &mut Connection,
    owner: &KeyOwner,
    event_id: EventId,
) -> Result<Vec<TestAttempt>, StoreError> {
    let found = attempts::of_event(connection, owner.lane, &owner.tenant_id, event_id, None, 1).await?;
    let shown = |attempt: attempts::Attempt| TestAttempt {
        number: attempt.number,
        outcome: attempt.outcome,
        status_code: attempt.status_code,
        duration_ms: attempt.duration_ms,
        error: attempt.error,
    };
    Ok(found.into_iter().map(shown).collect())
}
