//! Order by key: order is order of commit.
//!
//! Whoever publishes with a key, or brings a delivery of it to its end, holds the key's row until the commit. So a publisher sees
//! how the delivery before stands, and whoever ends that delivery sees who waits behind it; neither can miss the other.

use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, EventId, Lane, OrderingKey, TenantId};
use uuid::Uuid;

use crate::deliveries::{DeliveryKey, KeyColumns};
use crate::wake::Hint;
use crate::{Connection, StoreError, row};

/// A key and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName {
    /// Its tenant's lane.
    pub lane: Lane,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// As the publisher wrote it.
    pub key: String,
}

impl KeyName {
    /// The name of an event's key.
    pub fn new(lane: Lane, tenant_id: &TenantId, key: &OrderingKey) -> Self {
        Self { lane, tenant_id: tenant_id.clone(), key: key.as_str().to_owned() }
    }
}

/// Locks keys until the end of the transaction, and makes those that are new. `names` are sorted and without repeats, so that two
/// transactions wait for each other in one direction only. Returns the id of the last event of each, in the same order; nil = none.
///
/// # Errors
/// [`StoreError::Locked`] when another transaction holds one for longer than `lock_timeout`.
pub async fn lock(connection: &mut Connection, names: &[KeyName]) -> Result<Vec<EventId>, StoreError> {
    let columns = Columns::of(names);
    // DO UPDATE and not DO NOTHING: only a row that was written is locked.
    let rows = sqlx::query!(
        r#"
        INSERT INTO trunkline.ordering_keys AS k (lane, tenant_id, key, last_event_id)
        SELECT n.lane, n.tenant_id, n.key, '00000000-0000-0000-0000-000000000000'
        FROM unnest($1::smallint[], $2::text[], $3::text[]) AS n (lane, tenant_id, key)
        ON CONFLICT (lane, tenant_id, key) DO UPDATE SET last_event_id = k.last_event_id
        RETURNING k.lane, k.tenant_id, k.key, k.last_event_id
        "#,
        &columns.lanes,
        &columns.tenants,
        &columns.keys,
    )
    .fetch_all(connection)
    .await?;
    let found: std::collections::HashMap<(i16, String, String), Uuid> =
        rows.into_iter().map(|row| ((row.lane, row.tenant_id, row.key), row.last_event_id)).collect();
    let last = |name: &KeyName| {
        let key = (name.lane.number(), name.tenant_id.to_string(), name.key.clone());
        EventId::from(found.get(&key).copied().unwrap_or(Uuid::nil()))
    };
    Ok(names.iter().map(last).collect())
}

/// Notes the last event of keys that this transaction has locked.
///
/// # Errors
/// When the database is not available.
pub async fn note_last(
    connection: &mut Connection,
    names: &[KeyName],
    last: &[EventId],
) -> Result<(), StoreError> {
    let columns = Columns::of(names);
    let last: Vec<Uuid> = last.iter().map(|id| id.as_uuid()).collect();
    sqlx::query!(
        r#"
        UPDATE trunkline.ordering_keys AS k
        SET last_event_id = n.last_event_id
        FROM unnest($1::smallint[], $2::text[], $3::text[], $4::uuid[]) AS n (lane, tenant_id, key, last_event_id)
        WHERE k.lane = n.lane AND k.tenant_id = n.tenant_id AND k.key = n.key
        "#,
        &columns.lanes,
        &columns.tenants,
        &columns.keys,
        &last,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Holds back deliveries of these events that have an earlier one with the same endpoint and key before them: one that has not come
/// to its end, or, where the endpoint says so, a dead letter. The transaction holds their keys.
///
/// # Errors
/// When the database is not available.
pub async fn hold_back(
    connection: &mut Connection,
    lanes: &[Lane],
    tenants: &[TenantId],
    events: &[EventId],
) -> Result<(), StoreError> {
    let lanes: Vec<i16> = lanes.iter().map(|lane| lane.number()).collect();
    let tenants: Vec<&str> = tenants.iter().map(TenantId::as_str).collect();
    let events: Vec<Uuid> = events.iter().map(|id| id.as_uuid()).collect();
    sqlx::query!(
        r#"
        UPDATE trunkline.deliveries AS d
        SET held = true, due_at = NULL
        FROM unnest($1::smallint[], $2::text[], $3::uuid[]) AS i (lane, tenant_id, event_id)
        JOIN trunkline.endpoints AS e USING (tenant_id)
        WHERE d.lane = i.lane AND d.tenant_id = i.tenant_id AND d.event_id = i.event_id
          AND d.endpoint_id = e.endpoint_id AND d.ordering_key IS NOT NULL
          AND (
              EXISTS (
                  SELECT FROM trunkline.deliveries AS b
                  WHERE b.lane = d.lane AND b.tenant_id = d.tenant_id AND b.endpoint_id = d.endpoint_id
                    AND b.ordering_key = d.ordering_key AND b.finished_at IS NULL AND b.event_id < d.event_id
              )
              OR (e.ordering_blocks AND EXISTS (
                  SELECT FROM trunkline.deliveries AS b
                  WHERE b.lane = d.lane AND b.tenant_id = d.tenant_id AND b.status = 'FAILED' AND b.due_at IS NULL
                    AND b.endpoint_id = d.endpoint_id AND b.ordering_key = d.ordering_key AND b.event_id < d.event_id
              ))
          )
        "#,
        &lanes,
        &tenants as _,
        &events,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Lets the first of those that wait behind ended deliveries go, for each endpoint and key; its keys must be locked before, in
/// a statement of their own, whose end others may have waited for. Returns whom to tell.
///
/// # Errors
/// When the database is not available.
pub async fn release(
    connection: &mut Connection,
    names: &[KeyName],
    now: DateTime<Utc>,
) -> Result<Vec<Hint>, StoreError> {
    let columns = Columns::of(names);
    let rows = sqlx::query!(
        r#"
        UPDATE trunkline.deliveries AS d
        SET held = false, due_at = greatest($4, v.deliver_at)
        FROM unnest($1::smallint[], $2::text[], $3::text[]) AS n (lane, tenant_id, key)
        JOIN trunkline.endpoints AS e USING (tenant_id)
        CROSS JOIN LATERAL (
            SELECT f.event_id, f.held
            FROM trunkline.deliveries AS f
            WHERE f.lane = n.lane AND f.tenant_id = n.tenant_id AND f.endpoint_id = e.endpoint_id
              AND f.ordering_key = n.key AND f.finished_at IS NULL
            ORDER BY f.event_id
            LIMIT 1
        ) AS first
        CROSS JOIN LATERAL (
            SELECT deliver_at
            FROM trunkline.events
            WHERE lane = n.lane AND tenant_id = n.tenant_id AND event_id = first.event_id
            LIMIT 1
        ) AS v
        WHERE first.held
          AND d.lane = n.lane AND d.tenant_id = n.tenant_id AND d.event_id = first.event_id
          AND d.endpoint_id = e.endpoint_id AND d.held
          AND NOT (e.ordering_blocks AND EXISTS (
              SELECT FROM trunkline.deliveries AS b
              WHERE b.lane = n.lane AND b.tenant_id = n.tenant_id AND b.status = 'FAILED' AND b.due_at IS NULL
                AND b.endpoint_id = e.endpoint_id AND b.ordering_key = n.key AND b.event_id < first.event_id
          ))
        RETURNING d.lane, d.tenant_id, d.endpoint_id
        "#,
        &columns.lanes,
        &columns.tenants,
        &columns.keys,
        now,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|found| {
            Ok(Hint {
                lane: row::lane("deliveries", found.lane, found.endpoint_id)?,
                tenant_id: row::tenant_id("deliveries", found.tenant_id)?,
                endpoint_id: EndpointId::from(found.endpoint_id),
            })
        })
        .collect()
}

/// The key of an event, if it has one.
///
/// # Errors
/// When the database is not available.
pub async fn key_of(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    event_id: EventId,
) -> Result<Option<KeyName>, StoreError> {
    let key = sqlx::query_scalar!(
        r#"
        SELECT ordering_key
        FROM trunkline.events
        WHERE lane = $1 AND tenant_id = $2 AND event_id = $3
        "#,
        lane.number(),
        tenant_id.as_str(),
        event_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(key.flatten().map(|key| KeyName { lane, tenant_id: tenant_id.clone(), key }))
}

/// The keys of deliveries that are made in order, sorted and without repeats.
///
/// # Errors
/// When the database is not available.
pub async fn keys_of(
    connection: &mut Connection,
    deliveries: &[DeliveryKey],
) -> Result<Vec<KeyName>, StoreError> {
    let columns = KeyColumns::of(deliveries);
    let (lowest, highest) = columns.event_range();
    let rows = sqlx::query!(
        r#"
        SELECT DISTINCT d.lane, d.tenant_id, d.ordering_key AS "key!"
        FROM unnest($1::smallint[], $2::text[], $3::uuid[], $4::uuid[]) AS k (lane, tenant_id, event_id, endpoint_id)
        JOIN trunkline.deliveries AS d
            ON d.lane = k.lane AND d.tenant_id = k.tenant_id AND d.event_id = k.event_id AND d.endpoint_id = k.endpoint_id
        WHERE d.ordering_key IS NOT NULL AND d.event_id BETWEEN $5 AND $6
        "#,
        &columns.lanes,
        &columns.tenants,
        &columns.events,
        &columns.endpoints,
        lowest,
        highest,
    )
    .fetch_all(connection)
    .await?;
    let named = rows.into_iter().map(|found| {
        Ok(KeyName {
            lane: row::lane("deliveries", found.lane, &found.key)?,
            tenant_id: row::tenant_id("deliveries", found.tenant_id)?,
            key: found.key,
        })
    });
    let mut names = named.collect::<Result<Vec<_>, StoreError>>()?;
    names.sort();
    Ok(names)
}

/// At most `limit` keys of which something waits though nothing is before it: what an end left behind that did not look, such as an
/// endpoint's that delivers in order no more. [`release`] lets it go.
///
/// # Errors
/// When the database is not available.
pub async fn stranded(connection: &mut Connection, limit: i64) -> Result<Vec<KeyName>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT DISTINCT h.lane, h.tenant_id, h.ordering_key AS "key!"
        FROM trunkline.deliveries AS h
        JOIN trunkline.endpoints AS e ON e.tenant_id = h.tenant_id AND e.endpoint_id = h.endpoint_id
        WHERE h.ordering_key IS NOT NULL AND h.finished_at IS NULL AND h.held
          AND NOT EXISTS (
              SELECT FROM trunkline.deliveries AS b
              WHERE b.lane = h.lane AND b.tenant_id = h.tenant_id AND b.endpoint_id = h.endpoint_id
                AND b.ordering_key = h.ordering_key AND b.finished_at IS NULL AND b.event_id < h.event_id
          )
          AND NOT (e.ordering_blocks AND EXISTS (
              SELECT FROM trunkline.deliveries AS b
              WHERE b.lane = h.lane AND b.tenant_id = h.tenant_id AND b.status = 'FAILED' AND b.due_at IS NULL
                AND b.endpoint_id = h.endpoint_id AND b.ordering_key = h.ordering_key AND b.event_id < h.event_id
          ))
        LIMIT $1
        "#,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|found| {
            Ok(KeyName {
                lane: row::lane("deliveries", found.lane, &found.key)?,
                tenant_id: row::tenant_id("deliveries", found.tenant_id)?,
                key: found.key,
            })
        })
        .collect()
}

/// Names as arrays.
struct Columns {
    lanes: Vec<i16>,
    tenants: Vec<String>,
    keys: Vec<String>,
}

impl Columns {
    fn of(names: &[KeyName]) -> Self {
        Self {
            lanes: names.iter().map(|name| name.lane.number()).collect(),
            tenants: names.iter().map(|name| name.tenant_id.to_string()).collect(),
            keys: names.iter().map(|name| name.key.clone()).collect(),
        }
    }
}
