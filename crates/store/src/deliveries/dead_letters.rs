use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, EventId, EventType, Lane, TenantId};
use uuid::Uuid;

use super::DeliveryKey;
use super::key::KeyColumns;
use crate::citus::{self, Lanes};
use crate::events::ordering::{self, Line};
use crate::wake::Hint;
use crate::{Connection, StoreError, row};

/// Which dead letters; `None` = any. Times are exclusive and mean the creation of the delivery.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterFilter {
    /// Of this endpoint.
    pub endpoint_id: Option<EndpointId>,
    /// Of events of this exact type.
    pub event_type: Option<EventType>,
    /// Created later than this.
    pub after: Option<DateTime<Utc>>,
    /// Created earlier than this.
    pub before: Option<DateTime<Utc>>,
}

/// Where a page ends: the next one starts below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The last event shown.
    pub event_id: Uuid,
    /// Its endpoint.
    pub endpoint_id: Uuid,
}

impl Cursor {
    /// Above every dead letter.
    pub const TOP: Self = Self { event_id: Uuid::max(), endpoint_id: Uuid::max() };
}

/// A delivery that used up its budget.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Which delivery.
    pub key: DeliveryKey,
    /// What happened.
    pub event_type: Option<EventType>,
    /// Where it was to go, as the endpoint stands today.
    pub target_url: String,
    /// Attempts ever made.
    pub attempts: u32,
    /// When the last one started.
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// What was answered to it.
    pub last_status_code: Option<i16>,
    /// Why it failed.
    pub last_error: Option<String>,
    /// When the delivery was made.
    pub created_at: DateTime<Utc>,
    /// Whether it passes the filter. What does not is returned too, so that the caller's cursor moves past it and a
    /// page reads a bounded number of rows.
    pub matches: bool,
}

/// At most `candidates_max` of a tenant's dead letters below the cursor, newest first.
///
/// # Errors
/// When the database is not available.
pub async fn dead_letters(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    filter: &DeadLetterFilter,
    below: Cursor,
    candidates_max: i64,
) -> Result<Vec<DeadLetter>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT d.event_id, d.endpoint_id, e.type AS "type?", p.url AS "url!", d.attempts, d.last_attempt_at,
               d.last_status_code, d.last_error, d.created_at,
               (e.is_there IS NOT NULL
                AND ($3::uuid IS NULL OR d.endpoint_id = $3)
                AND ($4::text IS NULL OR e.type IS NOT DISTINCT FROM $4)
                AND ($5::timestamptz IS NULL OR d.created_at > $5)
                AND ($6::timestamptz IS NULL OR d.created_at < $6)
                AND NOT (EXISTS (SELECT FROM trunkline.short_retentions WHERE tenant_id = $2) AND d.event_id < trunkline.kept_from($2, e.type))) AS "matches!"
        FROM (
            SELECT *
            FROM trunkline.deliveries
            WHERE lane = $1 AND tenant_id = $2 AND status = 'FAILED' AND due_at IS NULL
              AND (event_id, endpoint_id) < ($7, $8) AND event_id <= $7
            ORDER BY event_id DESC, endpoint_id DESC
            LIMIT $9
        ) AS d
        -- Its event may be gone while its day goes; left out it would make the page look like the last.
        LEFT JOIN LATERAL (
            SELECT true AS is_there, type
            FROM trunkline.events
            WHERE lane = $1 AND tenant_id = $2 AND event_id = d.event_id
            LIMIT 1
        ) AS e ON true
        CROSS JOIN LATERAL (
            SELECT url
            FROM trunkline.endpoints
            WHERE tenant_id = $2 AND endpoint_id = d.endpoint_id
            LIMIT 1
        ) AS p
        ORDER BY d.event_id DESC, d.endpoint_id DESC
        "#,
        lane.number(),
        tenant_id.as_str(),
        filter.endpoint_id.map(EndpointId::as_uuid),
        filter.event_type.as_ref().map(EventType::as_str),
        filter.after,
        filter.before,
        below.event_id,
        below.endpoint_id,
        candidates_max,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|found| {
            let event_id = EventId::from(found.event_id);
            Ok(DeadLetter {
                key: DeliveryKey {
                    lane,
                    tenant_id: tenant_id.clone(),
                    event_id,
                    endpoint_id: EndpointId::from(found.endpoint_id),
                },
                event_type: row::event_type(found.r#type, event_id)?,
                target_url: found.url,
                attempts: row::unsigned(found.attempts),
                last_attempt_at: found.last_attempt_at,
                last_status_code: found.last_status_code,
                last_error: found.last_error,
                created_at: found.created_at,
                matches: found.matches,
            })
        })
        .collect()
}

/// Brings dead letters back: due at once, past a pause, with a fresh budget. Returns how many; those that are no dead
/// letters any more, or whose payload was erased or endpoint deleted, are left alone.
///
/// # Errors
/// When the database is not available.
pub async fn requeue(
    connection: &mut Connection,
    keys: &[DeliveryKey],
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let mut count = 0;
    for part in citus::parts(connection, keys, |key| key.lane).await? {
        let done = requeue_of(connection, &part.rows, &part.lanes, now).await;
        count += done.map_err(|error| citus::forget_if_refused(connection, error))?;
    }
    Ok(count)
}

async fn requeue_of(
    connection: &mut Connection,
    keys: &[DeliveryKey],
    of: &Lanes,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let keys = KeyColumns::of(keys);
    let range = keys.event_range();
    let requeued = sqlx::query!(
        r#"
        UPDATE trunkline.deliveries AS d
        SET status = 'PENDING', due_at = $7, cycle_attempts = 0, expedited = true, finished_at = NULL
        FROM unnest($1::smallint[], $2::text[], $3::uuid[], $4::uuid[]) AS k (lane, tenant_id, event_id, endpoint_id)
        WHERE d.lane = k.lane AND d.tenant_id = k.tenant_id AND d.event_id = k.event_id
          AND d.endpoint_id = k.endpoint_id
          AND d.status = 'FAILED' AND d.due_at IS NULL
          AND d.event_id >= $5 AND d.event_id < $6 AND ($8::smallint[] IS NULL OR d.lane = ANY($8))
          AND EXISTS (
              SELECT FROM trunkline.payloads AS p
              WHERE p.lane = k.lane AND p.tenant_id = k.tenant_id AND p.event_id = k.event_id AND p.payload IS NOT NULL
                AND ($8::smallint[] IS NULL OR p.lane = ANY($8))
          )
          AND EXISTS (
              SELECT FROM trunkline.endpoints AS e
              WHERE e.tenant_id = k.tenant_id AND e.endpoint_id = k.endpoint_id AND e.deleted_at IS NULL
          )
        "#,
        &keys.lanes,
        &keys.tenants,
        &keys.events,
        &keys.endpoints,
        range.from,
        range.before,
        now,
        of.parameter() as _,
    )
    .execute(connection)
    .await?;
    Ok(requeued.rows_affected())
}

/// Like [`purge`], and lets those go that waited behind dead letters by their ordering key, in the same transaction. Returns how many
/// were purged, and whom to tell.
///
/// # Errors
/// When the database is not available, or somebody publishes with one of the keys for longer than `lock_timeout`.
pub async fn purge_in_order(
    connection: &mut Connection,
    keys: &[DeliveryKey],
    now: DateTime<Utc>,
) -> Result<(u64, Vec<Hint>), StoreError> {
    let lines = ordering::lines_of(connection, keys).await?;
    if lines.is_empty() {
        return Ok((purge(connection, keys, now).await?, Vec::new()));
    }
    let mut transaction = connection.begin().await?;
    ordering::lock(&mut transaction, &Line::names(&lines)).await?;
    let purged = purge(&mut transaction, keys, now).await?;
    let released = ordering::release(&mut transaction, &lines, now).await?;
    transaction.commit().await?;
    Ok((purged, released))
}

/// Puts dead letters aside for good: they become CANCELLED and keep their history. Returns how many.
///
/// # Errors
/// When the database is not available.
pub async fn purge(
    connection: &mut Connection,
    keys: &[DeliveryKey],
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let mut count = 0;
    for part in citus::parts(connection, keys, |key| key.lane).await? {
        let done = purge_of(connection, &part.rows, &part.lanes, now).await;
        count += done.map_err(|error| citus::forget_if_refused(connection, error))?;
    }
    Ok(count)
}

async fn purge_of(
    connection: &mut Connection,
    keys: &[DeliveryKey],
    of: &Lanes,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let keys = KeyColumns::of(keys);
    let range = keys.event_range();
    let purged = sqlx::query!(
        r#"
        UPDATE trunkline.deliveries AS d
        SET status = 'CANCELLED', finished_at = $7
        FROM unnest($1::smallint[], $2::text[], $3::uuid[], $4::uuid[]) AS k (lane, tenant_id, event_id, endpoint_id)
        WHERE d.lane = k.lane AND d.tenant_id = k.tenant_id AND d.event_id = k.event_id
          AND d.endpoint_id = k.endpoint_id
          AND d.status = 'FAILED' AND d.due_at IS NULL
          AND d.event_id >= $5 AND d.event_id < $6 AND ($8::smallint[] IS NULL OR d.lane = ANY($8))
        "#,
        &keys.lanes,
        &keys.tenants,
        &keys.events,
        &keys.endpoints,
        range.from,
        range.before,
        now,
        of.parameter() as _,
    )
    .execute(connection)
    .await?;
    Ok(purged.rows_affected())
}
