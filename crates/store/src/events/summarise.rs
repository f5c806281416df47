use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, EventId, EventStatus, EventType, Lane, TenantId};
use uuid::Uuid;

use crate::{Connection, StoreError, row};

/// Which of the candidates a page shows; `None` = any. Times are exclusive.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// The status over all deliveries.
    pub status: Option<EventStatus>,
    /// The exact type.
    pub event_type: Option<EventType>,
    /// With a delivery to this endpoint.
    pub endpoint_id: Option<EndpointId>,
    /// Created later than this.
    pub after: Option<DateTime<Utc>>,
    /// Created earlier than this.
    pub before: Option<DateTime<Utc>>,
}

/// An event as a list shows it.
#[derive(Debug, Clone)]
pub struct EventSummary {
    /// Its id.
    pub event_id: EventId,
    /// What happened.
    pub event_type: Option<EventType>,
    /// As it was published.
    pub payload_bytes: u32,
    /// Over all deliveries.
    pub status: EventStatus,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// Over all deliveries.
    pub attempts: u32,
    /// The latest of all deliveries.
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// The earliest of all deliveries.
    pub next_attempt_at: Option<DateTime<Utc>>,
}

/// The second half of a page: those of `candidates` that pass the filter, newest first, at most `limit`.
///
/// # Errors
/// When the database is not available.
pub async fn summarise(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    candidates: &[EventId],
    filter: &EventFilter,
    limit: i64,
) -> Result<Vec<EventSummary>, StoreError> {
    let ids: Vec<Uuid> = candidates.iter().map(|id| id.as_uuid()).collect();
    // The range leaves the planner the page's partitions only: with 60 it spent most of a page's time on the others.
    let (Some(&lowest), Some(&highest)) = (ids.iter().min(), ids.iter().max()) else { return Ok(Vec::new()) };
    let rows = sqlx::query!(
        r#"
        SELECT e.event_id, e.type, e.created_at, e.payload_bytes, d.status AS "status!", d.attempts AS "attempts!",
               d.last_attempt_at, d.next_attempt_at
        FROM unnest($3::uuid[]) AS candidate (event_id)
        -- LATERAL with LIMIT keeps this a look-up by key, whatever the planner thinks of a partition's size.
        CROSS JOIN LATERAL (
            SELECT event_id, type, created_at, payload_bytes
            FROM trunkline.events
            WHERE lane = $1 AND tenant_id = $2 AND event_id = candidate.event_id
              AND event_id BETWEEN $10 AND $11
            LIMIT 1
        ) AS e
        CROSS JOIN LATERAL (
            SELECT CASE
                       WHEN bool_or(status = 'FAILED') THEN 'FAILED'
                       WHEN bool_or(status = 'PENDING') THEN 'PENDING'
                       WHEN bool_or(status = 'DELIVERED') THEN 'DELIVERED'
                       WHEN bool_or(status = 'CANCELLED') THEN 'CANCELLED'
                       ELSE 'UNROUTED'
                   END AS status,
                   -- Not those under way, which are counted from their claim on.
                   (coalesce(sum(attempts), 0) - count(lease))::integer AS attempts,
                   max(last_attempt_at) AS last_attempt_at,
                   min(due_at) AS next_attempt_at
            FROM trunkline.deliveries
            WHERE lane = $1 AND tenant_id = $2 AND event_id = candidate.event_id
              AND event_id BETWEEN $10 AND $11
        ) AS d
        WHERE ($4::text IS NULL OR d.status = $4)
          -- Past the retention of its tenant or type, though not erased yet.
          AND NOT (EXISTS (SELECT FROM trunkline.short_retentions WHERE tenant_id = $2) AND e.event_id < trunkline.kept_from($2, e.type))
          AND ($5::text IS NULL OR e.type = $5)
          AND ($6::timestamptz IS NULL OR e.created_at > $6)
          AND ($7::timestamptz IS NULL OR e.created_at < $7)
          AND ($9::uuid IS NULL OR EXISTS (
              SELECT FROM trunkline.deliveries
              WHERE lane = $1 AND tenant_id = $2 AND event_id = candidate.event_id AND endpoint_id = $9
                AND event_id BETWEEN $10 AND $11
          ))
        ORDER BY e.event_id DESC
        LIMIT $8
        "#,
        lane.number(),
        tenant_id.as_str(),
        &ids,
        filter.status.map(EventStatus::as_str),
        filter.event_type.as_ref().map(EventType::as_str),
        filter.after,
        filter.before,
        limit,
        filter.endpoint_id.map(EndpointId::as_uuid),
        lowest,
        highest,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|found| {
            let event_id = EventId::from(found.event_id);
            Ok(EventSummary {
                event_id,
                event_type: row::event_type(found.r#type, event_id)?,
                payload_bytes: row::unsigned(found.payload_bytes),
                status: row::event_status(&found.status, event_id)?,
                created_at: found.created_at,
                attempts: row::unsigned(found.attempts),
                last_attempt_at: found.last_attempt_at,
                next_attempt_at: found.next_attempt_at,
            })
        })
        .collect()
}
