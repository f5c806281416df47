use chrono::{DateTime, Utc};
use trunkline_domain::{DeliveryStatus, EndpointId, EventId, EventStatus, EventType, Lane, TenantId};

use crate::{Connection, StoreError, row};

/// One event with everything that is known of it but its attempts.
#[derive(Debug, Clone)]
pub struct EventDetail {
    /// Its id.
    pub event_id: EventId,
    /// What happened.
    pub event_type: Option<EventType>,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// Not before then.
    pub deliver_at: Option<DateTime<Utc>>,
    /// Endpoints that deliver in order attempt it after earlier events with the same key.
    pub ordering_key: Option<String>,
    /// The exact bytes, unless they were erased.
    pub payload: Option<Vec<u8>>,
    /// When they were erased by request.
    pub payload_erased_at: Option<DateTime<Utc>>,
    /// One for each endpoint, oldest endpoint first.
    pub deliveries: Vec<DeliveryDetail>,
}

/// One delivery of an event.
#[derive(Debug, Clone)]
pub struct DeliveryDetail {
    /// Where to.
    pub endpoint_id: EndpointId,
    /// That endpoint's name.
    pub endpoint_name: String,
    /// That endpoint's address today.
    pub target_url: String,
    /// How it stands.
    pub status: DeliveryStatus,
    /// Attempts ever started.
    pub attempts: u32,
    /// When it is attempted by itself.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// It waits for an earlier event with the same ordering key.
    pub is_held: bool,
    /// When the last attempt started.
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// What was answered to it.
    pub last_status_code: Option<i16>,
    /// Why it failed.
    pub last_error: Option<String>,
    /// When it came to an end.
    pub finished_at: Option<DateTime<Utc>>,
}

/// An event of a tenant. Another tenant's is `None`, exactly like one that does not exist; so is one past its retention.
///
/// # Errors
/// When the database is not available.
pub async fn find(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    event_id: EventId,
) -> Result<Option<EventDetail>, StoreError> {
    let found = sqlx::query!(
        r#"
        SELECT e.type, e.created_at, e.deliver_at, e.ordering_key, p.payload AS "payload?", r.erased_at AS "erased_at?"
        FROM trunkline.events AS e
        LEFT JOIN trunkline.payloads AS p
          ON p.lane = $1 AND p.tenant_id = $2 AND p.event_id = $3
        LEFT JOIN trunkline.erasures AS r
          ON r.lane = $1 AND r.tenant_id = $2 AND r.event_id = $3
        WHERE e.lane = $1 AND e.tenant_id = $2 AND e.event_id = $3
          AND NOT (EXISTS (SELECT FROM trunkline.short_retentions WHERE tenant_id = $2) AND e.event_id < trunkline.kept_from($2, e.type))
        "#,
        lane.number(),
        tenant_id.as_str(),
        event_id.as_uuid(),
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(found) = found else { return Ok(None) };
    Ok(Some(EventDetail {
        event_id,
        event_type: row::event_type(found.r#type, event_id)?,
        created_at: found.created_at,
        deliver_at: found.deliver_at,
        ordering_key: found.ordering_key,
        payload: found.payload,
        payload_erased_at: found.erased_at,
        deliveries: deliveries_of(connection, lane, tenant_id, event_id).await?,
    }))
}

/// The status of an event over all its deliveries, or `None` if there is no such event. For whoever made it: one past
/// its retention has a status too.
///
/// # Errors
/// When the database is not available.
pub async fn status(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    event_id: EventId,
) -> Result<Option<EventStatus>, StoreError> {
    let words = sqlx::query_scalar!(
        r#"
        SELECT d.status::text AS "status?"
        FROM trunkline.events AS e
        LEFT JOIN trunkline.deliveries AS d
          ON d.lane = $1 AND d.tenant_id = $2 AND d.event_id = $3
        WHERE e.lane = $1 AND e.tenant_id = $2 AND e.event_id = $3
        "#,
        lane.number(),
        tenant_id.as_str(),
        event_id.as_uuid(),
    )
    .fetch_all(connection)
    .await?;
    over(words, event_id)
}

/// Like [`status`], and `None` for an event past its retention, which is shown to nobody.
///
/// # Errors
/// When the database is not available.
pub async fn shown_status(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    event_id: EventId,
) -> Result<Option<EventStatus>, StoreError> {
    let words = sqlx::query_scalar!(
        r#"
        SELECT d.status::text AS "status?"
        FROM trunkline.events AS e
        LEFT JOIN trunkline.deliveries AS d
          ON d.lane = $1 AND d.tenant_id = $2 AND d.event_id = $3
        WHERE e.lane = $1 AND e.tenant_id = $2 AND e.event_id = $3
          AND NOT (EXISTS (SELECT FROM trunkline.short_retentions WHERE tenant_id = $2) AND e.event_id < trunkline.kept_from($2, e.type))
        "#,
        lane.number(),
        tenant_id.as_str(),
        event_id.as_uuid(),
    )
    .fetch_all(connection)
    .await?;
    over(words, event_id)
}

fn over(words: Vec<Option<String>>, event_id: EventId) -> Result<Option<EventStatus>, StoreError> {
    if words.is_empty() {
        return Ok(None);
    }
    let deliveries: Result<Vec<_>, _> =
        words.iter().flatten().map(|word| row::delivery_status(word, event_id)).collect();
    Ok(Some(EventStatus::over(deliveries?)))
}

async fn deliveries_of(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    event_id: EventId,
) -> Result<Vec<DeliveryDetail>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT d.endpoint_id, e.name, e.url, d.status::text AS "status!",
               -- Not the one under way, which is counted from its claim on.
               d.attempts - (d.lease IS NOT NULL)::integer AS "attempts!", d.due_at, d.last_attempt_at,
               d.last_status_code, d.last_error, d.finished_at, d.held
        FROM trunkline.deliveries AS d
        JOIN trunkline.endpoints AS e ON e.tenant_id = d.tenant_id AND e.endpoint_id = d.endpoint_id
        WHERE d.lane = $1 AND d.tenant_id = $2 AND d.event_id = $3
        ORDER BY e.created_at, d.endpoint_id
        "#,
        lane.number(),
        tenant_id.as_str(),
        event_id.as_uuid(),
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|found| {
            Ok(DeliveryDetail {
                endpoint_id: EndpointId::from(found.endpoint_id),
                endpoint_name: found.name,
                target_url: found.url,
                status: row::delivery_status(&found.status, event_id)?,
                attempts: row::unsigned(found.attempts),
                next_attempt_at: found.due_at,
                is_held: found.held,
                last_attempt_at: found.last_attempt_at,
                last_status_code: found.last_status_code,
                last_error: found.last_error,
                finished_at: found.finished_at,
            })
        })
        .collect()
}
