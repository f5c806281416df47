//! Attempts: every HTTP call ever made. They are written by `deliveries::record` and `deliveries::claim`.

use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, EventId, EventType, Lane, TenantId};

use crate::{Connection, StoreError, row};

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
    /// The headers of an answer that is a failure, a line `name: value` each.
    pub response_headers: Option<Vec<u8>>,
    /// What was called.
    pub url: Option<String>,
    /// Names of the headers that its endpoint adds today.
    pub custom_headers: Vec<String>,
}

impl Attempt {
    /// Where it stands among the attempts of its event.
    pub fn position(&self) -> Position {
        Position { started_at: self.started_at, endpoint_id: self.endpoint_id, number: self.number }
    }
}

/// Where a page of an event's attempts ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// When its last attempt began.
    pub started_at: DateTime<Utc>,
    /// At which endpoint.
    pub endpoint_id: EndpointId,
    /// Its number.
    pub number: u32,
}

/// What an event gives to the request of each of its attempts.
#[derive(Debug, Clone)]
pub struct EventFacts {
    /// What happened.
    pub event_type: Option<EventType>,
    /// Sent on with every attempt.
    pub traceparent: Option<String>,
}

/// What an event gives to its attempts, or `None` if the tenant has no such event.
///
/// # Errors
/// When the database is not available.
pub async fn event_facts(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    event_id: EventId,
) -> Result<Option<EventFacts>, StoreError> {
    let found = sqlx::query!(
        r#"
        SELECT type, traceparent
        FROM trunkline.events AS e
        WHERE lane = $1 AND tenant_id = $2 AND event_id = $3
          AND NOT (EXISTS (SELECT FROM trunkline.short_retentions WHERE tenant_id = $2) AND e.event_id < trunkline.kept_from($2, e.type))
        "#,
        lane.number(),
        tenant_id.as_str(),
        event_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    let Some(found) = found else { return Ok(None) };
    Ok(Some(EventFacts {
        event_type: row::event_type(found.r#type, event_id)?,
        traceparent: found.traceparent,
    }))
}

/// At most `limit` attempts of an event in the order they started, over all endpoints, those after that position.
///
/// # Errors
/// When the database is not available.
pub async fn of_event(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    event_id: EventId,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<Attempt>, StoreError> {
    let (started_at, endpoint_id, number) = match after {
        Some(Position { started_at, endpoint_id, number }) => (started_at, endpoint_id.as_uuid(), number),
        None => (DateTime::UNIX_EPOCH, uuid::Uuid::nil(), 0),
    };
    let rows = sqlx::query!(
        r#"
        SELECT a.endpoint_id, a.attempt, a.started_at, a.duration_ms, a.status_code, a.outcome::text AS "outcome!",
               a.error, a.response_excerpt, a.response_headers, a.url,
               ARRAY(SELECT jsonb_object_keys(e.custom_headers) ORDER BY 1) AS "custom_headers!"
        FROM trunkline.attempts AS a
        LEFT JOIN trunkline.endpoints AS e ON e.tenant_id = a.tenant_id AND e.endpoint_id = a.endpoint_id
        WHERE a.lane = $1 AND a.tenant_id = $2 AND a.event_id = $3
          AND (a.started_at, a.endpoint_id, a.attempt) > ($5, $6, $7)
        ORDER BY a.started_at, a.endpoint_id, a.attempt
        LIMIT $4
        "#,
        lane.number(),
        tenant_id.as_str(),
        event_id.as_uuid(),
        limit,
        started_at,
        endpoint_id,
        i32::try_from(number).unwrap_or(i32::MAX),
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
            response_headers: found.response_headers,
            url: found.url,
            custom_headers: found.custom_headers,
        })
        .collect())
}
