//! Attempts: every HTTP call ever made. They are written by `deliveries::record` and `deliveries::claim`.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use trunkline_domain::{EndpointId, EventId, Lane, TenantId};

use crate::{StoreError, row};

/// The most attempts that one answer shows: a delivery retried by hand again and again has no other bound.
const SHOWN_MAX: i64 = 1_000;

/// One attempt as its tenant sees it.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Which endpoint was called.
    pub endpoint_id: EndpointId,
    /// From 1, for each delivery.
    pub number: u32,
    /// When the call began.
    pub started_at: DateTime<Utc>,
    /// How long it took; `None` where nobody knows.
    pub duration_ms: Option<i32>,
    /// What the endpoint answered.
    pub status_code: Option<i16>,
    /// How it ended, in the words of `AttemptOutcome`.
    pub outcome: String,
    /// Why it failed.
    pub error: Option<String>,
    /// The beginning of the answer's body.
    pub response_excerpt: Option<Vec<u8>>,
    /// What was called.
    pub url: Option<String>,
}

/// The attempts of an event in the order they started, over all endpoints; the first 1,000.
///
/// # Errors
/// When the database is not available.
pub async fn of_event(
    connection: &mut PgConnection,
    lane: Lane,
    tenant_id: &TenantId,
    event_id: EventId,
) -> Result<Vec<Attempt>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT endpoint_id, attempt, started_at, duration_ms, status_code, outcome::text AS "outcome!", error,
               response_excerpt, url
        FROM trunkline.attempts
        WHERE lane = $1 AND tenant_id = $2 AND event_id = $3
        ORDER BY started_at, endpoint_id, attempt
        LIMIT $4
        "#,
        lane.number(),
        tenant_id.as_str(),
        event_id.as_uuid(),
        SHOWN_MAX,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|found| Attempt {
            endpoint_id: EndpointId::from(found.endpoint_id),
            number: row::unsigned(found.attempt),
            started_at: found.started_at,
            duration_ms: found.duration_ms,
            status_code: found.status_code,
            outcome: found.outcome,
            error: found.error,
            response_excerpt: found.response_excerpt,
            url: found.url,
        })
        .collect())
}
