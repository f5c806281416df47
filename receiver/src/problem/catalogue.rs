//! Every problem the receiver answers with, in the order of their statuses.

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use trunkline_signing::VerifyError;
use trunkline_store::StoreError;

use super::Problem;

impl Problem {
    pub(crate) fn no_route() -> Self {
        let detail = "There is nothing at this path; GET /docs lists every route.";
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found", detail)
    }

    pub(crate) fn unknown_tenant() -> Self {
        let detail = "No tenant has the tenant_id of this path.";
        Self::new(StatusCode::NOT_FOUND, "tenant_unknown", "Unknown tenant", detail)
    }

    pub(crate) fn wrong_method(allowed: &'static str) -> Self {
        let detail = format!("This path answers {allowed} only.");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed", detail)
            .with("allow", allowed)
    }

    pub(crate) fn bad_query(field: Option<&'static str>, detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::BAD_REQUEST, "invalid_query", "Invalid query parameter", detail);
        Self { field, ..problem }
    }

    pub(crate) fn broken_body() -> Self {
        let detail = "The body ended before the length that was announced; send the request again.";
        Self::new(StatusCode::BAD_REQUEST, "incomplete_body", "Incomplete body", detail)
    }

    pub(crate) fn too_slow(limit: Duration) -> Self {
        let detail = format!("The body did not arrive within {} s; send the request again.", limit.as_secs());
        Self::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "Request timeout", detail)
    }

    pub(crate) fn too_large() -> Self {
        let detail = "A webhook's body is 1048576 bytes (1 MiB) at most.";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "Body too large", detail)
    }

    pub(crate) fn overloaded() -> Self {
        let detail = "More is being sent than can be taken in at once; send again in a second.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Overloaded", detail)
            .with("retry-after", "1")
    }

    pub(crate) fn switched_off() -> Self {
        let detail = "Webhook reception is switched off; GET /{tenant_id}/status tells when it is on again.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "reception_disabled", "Reception disabled", detail)
            .with("retry-after", "1")
    }

    /// One answer for a key that is missing, malformed, unknown, revoked or expired: it must not tell which.
    pub(crate) fn unauthenticated() -> Self {
        let detail = "Send a valid API key as `Authorization: Bearer <key>`.";
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", "Unauthenticated", detail)
            .with("www-authenticate", "Bearer")
    }

    pub(crate) fn forbidden(code: &'static str, detail: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, "Forbidden", detail)
    }

    pub(crate) fn unverified(error: &VerifyError) -> Self {
        let code = match error {
            VerifyError::Missing { .. } => "signature_missing",
            VerifyError::Malformed { .. } => "signature_malformed",
            VerifyError::TimestampOutsideTolerance { .. } => "timestamp_outside_tolerance",
            VerifyError::NoMatch => "signature_mismatch",
        };
        let detail = format!("The webhook is not verified: {error}.");
        Self::new(StatusCode::UNAUTHORIZED, code, "Signature not verified", detail)
            .with("www-authenticate", "Webhook-Signature")
    }

    pub(crate) fn too_many_failed_logins(wait: Duration) -> Self {
        // Rounded up: sent again then, it is not refused for that.
        let seconds = wait.as_millis().div_ceil(1_000).max(1);
        let detail =
            format!("Too many requests with wrong keys came from this address; try again in {seconds} s.");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failed_logins", "Too many failed logins", detail)
            .with("retry-after", seconds.to_string())
    }

    /// Says no more than that it is our fault; the log says why, under the same request id.
    pub(crate) fn internal(reason: impl fmt::Display) -> Self {
        let detail = "This is a fault of the receiver; its operator finds it in the log by the request_id.";
        let problem =
            Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "Internal error", detail);
        tracing::error!(request.id = problem.request_id(), %reason, "a request could not be answered");
        problem
    }

    /// The database is away, and is expected back.
    pub(crate) fn database_unavailable(error: &StoreError) -> Self {
        let detail = "The receiver cannot reach its database for the moment; try again.";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let problem = Self::new(status, "database_unavailable", "Database unavailable", detail);
        tracing::warn!(request.id = problem.request_id(), %error, "the database did not serve a request");
        problem.with("retry-after", "1")
    }
}
