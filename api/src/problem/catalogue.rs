//! Every problem the api answers with, in the order of their statuses.

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use trunkline_domain::payload::PayloadError;
use trunkline_domain::{DeliveryStatus, EventStatus, EventType, TenantId};
use trunkline_store::StoreError;
use trunkline_store::replays::ReplayState;

use super::{FieldProblem, Problem};

impl Problem {
    pub(crate) fn bad_query(field: Option<&str>, detail: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_query", "Invalid query parameter", detail).on(field)
    }

    pub(crate) fn bad_header(name: &str, detail: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_header", "Invalid header", detail).on(Some(name))
    }

    pub(crate) fn not_retryable(status: EventStatus) -> Self {
        let detail = format!("Only FAILED events can be retried; this one is {}.", status.as_str());
        Self::new(StatusCode::BAD_REQUEST, "not_retryable", "Not retryable", detail)
    }

    pub(crate) fn delivery_not_retryable(status: DeliveryStatus) -> Self {
        let detail = format!("Only FAILED deliveries can be retried; this one is {}.", status.as_str());
        Self::new(StatusCode::BAD_REQUEST, "not_retryable", "Not retryable", detail)
    }

    pub(crate) fn broken_body() -> Self {
        let detail = "The body ended before the length that was announced; send the request again.";
        Self::new(StatusCode::BAD_REQUEST, "incomplete_body", "Incomplete body", detail)
    }

    /// One answer for a key that is missing, malformed, unknown, revoked or expired: it must not tell which.
    pub(crate) fn unauthenticated() -> Self {
        let detail = "Send a valid API key as `Authorization: Bearer <key>`.";
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", "Unauthenticated", detail)
            .with(WWW_AUTHENTICATE, "Bearer")
    }

    pub(crate) fn forbidden(code: &'static str, detail: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, "Forbidden", detail)
    }

    pub(crate) fn operator_only() -> Self {
        Self::forbidden("operator_only", "This needs an operator's key.")
    }

    pub(crate) fn no_route() -> Self {
        let detail = "There is nothing at this path; GET /v1/docs lists every route.";
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found", detail)
    }

    pub(crate) fn no_event() -> Self {
        let detail = "There is no event with this id.";
        Self::new(StatusCode::NOT_FOUND, "event_not_found", "Event not found", detail)
    }

    pub(crate) fn no_endpoint() -> Self {
        let detail = "There is no endpoint with this id.";
        Self::new(StatusCode::NOT_FOUND, "endpoint_not_found", "Endpoint not found", detail)
    }

    pub(crate) fn no_default_endpoint() -> Self {
        let detail = "This tenant has no endpoint named default; POST /v1/endpoints creates one.";
        Self::new(StatusCode::NOT_FOUND, "endpoint_not_found", "Endpoint not found", detail)
    }

    pub(crate) fn no_operational_endpoint() -> Self {
        let detail = "There is no operational endpoint; PUT one here.";
        Self::new(StatusCode::NOT_FOUND, "endpoint_not_found", "Endpoint not found", detail)
    }

    pub(crate) fn no_delivery() -> Self {
        let detail = "This event has no delivery to an endpoint with this id.";
        Self::new(StatusCode::NOT_FOUND, "delivery_not_found", "Delivery not found", detail)
    }

    pub(crate) fn no_replay() -> Self {
        let detail = "There is no replay with this id.";
        Self::new(StatusCode::NOT_FOUND, "replay_not_found", "Replay not found", detail)
    }

    pub(crate) fn no_tenant() -> Self {
        let detail = "There is no tenant with this tenant_id.";
        Self::new(StatusCode::NOT_FOUND, "tenant_not_found", "Tenant not found", detail)
    }

    pub(crate) fn no_key() -> Self {
        let detail = "There is no API key with this key_id.";
        Self::new(StatusCode::NOT_FOUND, "api_key_not_found", "API key not found", detail)
    }

    pub(crate) fn no_event_type() -> Self {
        let detail = "This type has not been described; PUT describes it.";
        Self::new(StatusCode::NOT_FOUND, "event_type_not_found", "Event type not found", detail)
    }

    pub(crate) fn no_erasure() -> Self {
        let detail = "There is no erasure with this erasure_id; one that erased nothing has no receipts.";
        Self::new(StatusCode::NOT_FOUND, "erasure_not_found", "Erasure not found", detail)
    }

    pub(crate) fn wrong_method(allowed: &str) -> Self {
        let detail = format!("This path answers {allowed} only.");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed", detail)
            .with(ALLOW, allowed)
    }

    pub(crate) fn too_slow(limit: Duration) -> Self {
        let detail = format!("The body did not arrive within {} s; send the request again.", limit.as_secs());
        Self::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "Request timeout", detail)
    }

    pub(crate) fn tenant_exists(tenant_id: &TenantId) -> Self {
        let detail =
            format!("The tenant_id {tenant_id} was given before and is never given again; choose another.");
        Self::new(StatusCode::CONFLICT, "tenant_exists", "Tenant exists", detail).on(Some("tenant_id"))
    }

    pub(crate) fn too_many_keys(live_max: i64) -> Self {
        let detail = format!("A tenant has {live_max} keys at most that are good; revoke some first.");
        Self::new(StatusCode::CONFLICT, "too_many_api_keys", "Too many API keys", detail)
    }

    pub(crate) fn too_many_types(types_max: i64) -> Self {
        let detail = format!("A tenant describes {types_max} types at most; delete some first.");
        Self::new(StatusCode::CONFLICT, "too_many_event_types", "Too many event types", detail)
    }

    pub(crate) fn endpoint_exists() -> Self {
        let detail = "Another endpoint has this name; choose another name, or delete that endpoint.";
        Self::new(StatusCode::CONFLICT, "endpoint_exists", "Endpoint exists", detail).on(Some("name"))
    }

    pub(crate) fn too_many_endpoints(most: i64) -> Self {
        let detail = format!(
            "A tenant has {most} endpoints at most, because every event is held against each; delete one that is not needed."
        );
        Self::new(StatusCode::CONFLICT, "too_many_endpoints", "Too many endpoints", detail)
    }

    pub(crate) fn endpoint_disabled() -> Self {
        let detail = "The endpoint is disabled, so that nothing is sent to it; enable it first.";
        Self::new(StatusCode::CONFLICT, "endpoint_disabled", "Endpoint disabled", detail)
    }

    pub(crate) fn nothing_to_cancel(status: EventStatus) -> Self {
        let detail = format!("Nothing of this event would still be attempted: it is {}.", status.as_str());
        Self::new(StatusCode::CONFLICT, "nothing_to_cancel", "Nothing to cancel", detail)
    }

    pub(crate) fn replay_is_over(state: ReplayState) -> Self {
        let detail = format!("This replay is {} and cannot be steered any more.", state.as_str());
        Self::new(StatusCode::CONFLICT, "replay_is_over", "Replay is over", detail)
    }

    pub(crate) fn too_many_replays(most: u64) -> Self {
        let detail =
            format!("{most} replays of this tenant have not come to their end; wait for one, or cancel one.");
        Self::new(StatusCode::CONFLICT, "too_many_replays", "Too many replays", detail)
    }

    pub(crate) fn key_busy() -> Self {
        let detail = "A request with the same Idempotency-Key is still running; ask again in a second.";
        Self::new(StatusCode::CONFLICT, "idempotency_key_in_use", "Idempotency-Key in use", detail)
            .with(RETRY_AFTER, "1")
    }

    pub(crate) fn payload_gone() -> Self {
        let detail = "The event's payload was erased; there is nothing to send.";
        Self::new(StatusCode::GONE, "payload_erased", "Payload erased", detail)
    }

    pub(crate) fn endpoint_gone() -> Self {
        let detail = "The endpoint was deleted; a replay with to_endpoint_id sends the event to another one.";
        Self::new(StatusCode::GONE, "endpoint_deleted", "Endpoint deleted", detail)
    }

    pub(crate) fn ordering_key_busy() -> Self {
        let detail = "Another transaction is publishing with the same ordering key; ask again in a second.";
        Self::new(StatusCode::CONFLICT, "ordering_key_in_use", "Ordering key in use", detail)
            .with(RETRY_AFTER, "1")
    }

    pub(crate) fn too_large(bytes_max: usize) -> Self {
        let detail = format!("A body has {bytes_max} bytes here at most.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "Body too large", detail)
    }

    pub(crate) fn wrong_type() -> Self {
        let detail = "Send `content-type: application/json` in UTF-8, without a content-encoding.";
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Unsupported media type",
            detail,
        )
    }

    pub(crate) fn unusable_payload(error: PayloadError) -> Self {
        let mut detail = error.to_string();
        detail.replace_range(..1, &detail[..1].to_uppercase());
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload", "Invalid payload", detail + ".")
    }

    /// serde names the field and what it accepts; it may quote the value, which is the caller's own.
    pub(crate) fn unusable_body(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let field = text.split('`').nth(1).filter(|_| text.contains("field"));
        let detail = format!("The body is not what this route takes: {text}.");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", "Invalid body", detail).on(field)
    }

    pub(crate) fn no_object() -> Self {
        let detail = "The body is not what this route takes: a JSON object.";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", "Invalid body", detail)
    }

    pub(crate) fn bad_field(field: &str, detail: &str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_field", "Invalid field", detail).on(Some(field))
    }

    /// The payload does not fit the schema of its type; each error names a place in it by a JSON pointer (RFC 6901).
    pub(crate) fn schema_violation(event_type: &EventType, errors: Vec<FieldProblem>) -> Self {
        let detail =
            format!("The payload does not fit the schema of its type {event_type}; errors names each place.");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "schema_violation", "Schema violation", detail)
            .with_errors(errors)
    }

    pub(crate) fn too_much_to_count() -> Self {
        let detail = "Counting this takes longer than 5 s; ask for a shorter range, or without a filter.";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "range_too_large", "Range too large", detail)
    }

    /// A problem of one item of a list.
    pub(crate) fn of_item(mut self, index: usize) -> Self {
        let field = self.0.field.take();
        self.0.field =
            Some(field.map_or(format!("events[{index}]"), |field| format!("events[{index}].{field}")));
        for error in &mut self.0.errors {
            error.field.insert_str(0, &format!("events[{index}].payload"));
        }
        self
    }

    pub(crate) fn on_field(self, field: &str) -> Self {
        self.on(Some(field))
    }

    /// A value refused by the rule of a query parameter, which stood in a body.
    pub(crate) fn of_body(self) -> Self {
        Self::bad_field(self.0.field.as_deref().unwrap_or_default(), &self.0.detail)
    }

    pub(crate) fn key_reused() -> Self {
        let detail =
            "This Idempotency-Key was used with another body within 24 hours; use a new key for a new event.";
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "Idempotency-Key reused",
            detail,
        )
    }

    pub(crate) fn rate_limited(seconds: u64) -> Self {
        let detail = format!("This tenant publishes more than its rate allows; send again in {seconds} s.");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Rate limited", detail)
            .with(RETRY_AFTER, seconds.to_string())
    }

    pub(crate) fn too_many_searches() -> Self {
        let detail = "Searches, exports and counts of this tenant are running in its whole share; wait for one to end.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_searches", "Too many searches", detail)
            .with(RETRY_AFTER, "1")
    }

    pub(crate) fn too_many_exports(most: usize) -> Self {
        let detail = format!(
            "{most} exports of this tenant are running, which is as many as it may; wait for one to end."
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_exports", "Too many exports", detail)
            .with(RETRY_AFTER, "5")
    }

    pub(crate) fn too_many_failed_logins(wait: Duration) -> Self {
        // Rounded up: sent again then, it is not refused for that.
        let seconds = wait.as_millis().div_ceil(1_000).max(1);
        let detail =
            format!("Too many requests with wrong keys came from this address; try again in {seconds} s.");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failed_logins", "Too many failed logins", detail)
            .with(RETRY_AFTER, seconds.to_string())
    }

    /// Says no more than that it is our fault; the log says why, under the same request id.
    pub(crate) fn internal(reason: impl fmt::Display) -> Self {
        let detail = "This is a fault of the service; its operator finds it in the log by the request_id.";
        let problem =
            Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "Internal error", detail);
        tracing::error!(request.id = problem.0.request_id, %reason, "a request could not be answered");
        problem
    }

    pub(crate) fn overloaded() -> Self {
        let detail = "More events are coming in than can be stored at once; send again in a second.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Overloaded", detail).with(RETRY_AFTER, "1")
    }

    pub(crate) fn exports_are_full() -> Self {
        let detail = "As many exports are running as there is room for; ask again in a few seconds.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Overloaded", detail).with(RETRY_AFTER, "5")
    }

    /// The database is away or slow, and is expected back.
    pub(crate) fn unavailable(reason: impl fmt::Display) -> Self {
        let detail = "The service cannot reach its database for the moment; send again in a second. \
                      An event may have been stored all the same: an Idempotency-Key makes sending again safe.";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let problem = Self::new(status, "database_unavailable", "Database unavailable", detail);
        tracing::warn!(request.id = problem.0.request_id, %reason, "the database did not serve a request");
        problem.with(RETRY_AFTER, "1")
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.retry_after().is_some() { Self::unavailable(error) } else { Self::internal(error) }
    }
}
