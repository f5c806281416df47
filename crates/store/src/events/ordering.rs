//! Order by key: order is order of commit.
//!
//! Whoever publishes with a key, or brings a delivery of it to its end, holds the key's row until the commit. So a publisher sees
//! how the delivery before stands, and whoever ends that delivery sees who waits behind it; neither can miss the other.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, EventId, Lane, OrderingKey, TenantId};
use uuid::Uuid;

use crate::citus::{self, Lanes};
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
    let mut found = HashMap::new();
    for part in citus::parts(connection, names, |name| name.lane).await? {
        found.extend(lock_of(connection, &part.rows).await?);
    }
    let last = |name: &KeyName| {
        let key = (name.lane.number(), name.tenant_id.to_string(), name.key.clone());
        EventId::from(found.get(&key).copied().unwrap_or(Uuid::nil()))
    };
    Ok(names.iter().map(last).collect())
}

async fn lock_of(
    connection: &mut Connection,
    names: &[KeyName],
) -> Result<HashMap<(i16, String, String), Uuid>, StoreError> {
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
    Ok(rows.into_iter().map(|row| ((row.lane, row.tenant_id, row.key), row.last_event_id)).collect())
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
    let noted: Vec<(&KeyName, EventId)> = names.iter().zip(last.iter().copied()).collect();
    for part in citus::parts(connection, &noted, |(name, _)| name.lane).await? {
        let done = note_last_of(connection, &part.rows, &part.lanes).await;
        done.map_err(|error| citus::forget_if_refused(connection, error))?;
    }
    Ok(())
}

async fn note_last_of(
    connection: &mut Connection,
    noted: &[(&KeyName, EventId)],
    of: &Lanes,
) -> Result<(), StoreError> {
    let columns = Columns::of(noted.iter().map(|(name, _)| *name));
    let last: Vec<Uuid> = noted.iter().map(|(_, id)| id.as_uuid()).collect();
    sqlx::query!(
        r#"
        UPDATE trunkline.ordering_keys AS k
        SET last_event_id = n.last_event_id
        FROM unnest($1::smallint[], $2::text[], $3::text[], $4::uuid[]) AS n (lane, tenant_id, key, last_event_id)
        WHERE k.lane = n.lane AND k.tenant_id = n.tenant_id AND k.key = n.key
          AND ($5::smallint[] IS NULL OR k.lane = ANY($5))
        "#,
        &columns.lanes,
        &columns.tenants,
        &columns.keys,
        &last,
        of.parameter() as _,
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
    let held: Vec<(Lane, &TenantId, EventId)> = lanes
        .iter()
        .zip(tenants)
        .zip(events)
        .map(|((lane, tenant_id), id)| (*lane, tenant_id, *id))
        .collect();
    for part in citus::parts(connection, &held, |(lane, ..)| *lane).await? {
        let done = hold_back_of(connection, &part.rows, &part.lanes).await;
        done.map_err(|error| citus::forget_if_refused(connection, error))?;
    }
    Ok(())
}

async fn hold_back_of(
    connection: &mut Connection,
    events: &[(Lane, &TenantId, EventId)],
    of: &Lanes,
) -> Result<(), StoreError> {
    let lanes: Vec<i16> = events.iter().map(|(lane, ..)| lane.number()).collect();
    let tenants: Vec<&str> = events.iter().map(|(_, tenant_id, _)| tenant_id.as_str()).collect();
    let events: Vec<Uuid> = events.iter().map(|(.., id)| id.as_uuid()).collect();
    sqlx::query!(
        r#"
        UPDATE trunkline.deliveries AS d
        SET held = true, due_at = NULL
        FROM unnest($1::smallint[], $2::text[], $3::uuid[]) AS i (lane, tenant_id, event_id)
        JOIN trunkline.endpoints AS e USING (tenant_id)
        WHERE d.lane = i.lane AND d.tenant_id = i.tenant_id AND d.event_id = i.event_id
          AND d.endpoint_id = e.endpoint_id AND d.ordering_key IS NOT NULL
          AND ($4::smallint[] IS NULL OR d.lane = ANY($4))
          AND (
              EXISTS (
                  SELECT FROM trunkline.deliveries AS b
                  WHERE b.lane = d.lane AND ($4::smallint[] IS NULL OR b.lane = ANY($4)) AND b.tenant_id = d.tenant_id AND b.endpoint_id = d.endpoint_id
                    AND b.ordering_key = d.ordering_key AND b.finished_at IS NULL AND b.event_id < d.event_id
              )
              OR (e.ordering_blocks AND EXISTS (
                  SELECT FROM trunkline.deliveries AS b
                  WHERE b.lane = d.lane AND ($4::smallint[] IS NULL OR b.lane = ANY($4))
                    AND b.tenant_id = d.tenant_id AND b.status = 'FAILED' AND b.due_at IS NULL
                    AND b.endpoint_id = d.endpoint_id AND b.ordering_key = d.ordering_key AND b.event_id < d.event_id
              ))
          )
        "#,
        &lanes,
        &tenants as _,
        &events,
        of.parameter() as _,
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
    let mut released = Vec::new();
    for part in citus::parts(connection, names, |name| name.lane).await? {
        let done = release_of(connection, &part.rows, &part.lanes, now).await;
        released.extend(done.map_err(|error| citus::forget_if_refused(connection, error))?);
    }
    Ok(released)
}

async fn release_of(
    connection: &mut Connection,
    names: &[KeyName],
    of: &Lanes,
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
            WHERE f.lane = n.lane AND ($5::smallint[] IS NULL OR f.lane = ANY($5)) AND f.tenant_id = n.tenant_id AND f.endpoint_id = e.endpoint_id
              AND f.ordering_key = n.key AND f.finished_at IS NULL
            ORDER BY f.event_id
            LIMIT 1
        ) AS first
        CROSS JOIN LATERAL (
            SELECT deliver_at
            FROM trunkline.events
            WHERE lane = n.lane AND ($5::smallint[] IS NULL OR lane = ANY($5)) AND tenant_id = n.tenant_id
              AND event_id = first.event_id
            LIMIT 1
        ) AS v
        WHERE first.held
          AND d.lane = n.lane AND ($5::smallint[] IS NULL OR d.lane = ANY($5)) AND d.tenant_id = n.tenant_id
          AND d.event_id = first.event_id
          AND d.endpoint_id = e.endpoint_id AND d.held
          AND NOT (e.ordering_blocks AND EXISTS (
              SELECT FROM trunkline.deliveries AS b
              WHERE b.lane = n.lane AND ($5::smallint[] IS NULL OR b.lane = ANY($5)) AND b.tenant_id = n.tenant_id AND b.status = 'FAILED' AND b.due_at IS NULL
                AND b.endpoint_id = e.endpoint_id AND b.ordering_key = n.key AND b.event_id < first.event_id
          ))
        RETURNING d.lane, d.tenant_id, d.endpoint_id
        "#,
        &columns.lanes,
        &columns.tenants,
        &columns.keys,
        now,
        of.parameter() as _,
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
    let mut names = Vec::new();
    for part in citus::parts(connection, deliveries, |key| key.lane).await? {
        let found = keys_of_some(connection, &part.rows, &part.lanes).await;
        names.extend(found.map_err(|error| citus::forget_if_refused(connection, error))?);
    }
    names.sort();
    Ok(names)
}

async fn keys_of_some(
    connection: &mut Connection,
    deliveries: &[DeliveryKey],
    of: &Lanes,
) -> Result<Vec<KeyName>, StoreError> {
    let columns = KeyColumns::of(deliveries);
    let (lowest, highest) = columns.event_range();
    let rows = sqlx::query!(
        r#"
        SELECT DISTINCT d.lane, d.tenant_id, d.ordering_key AS "key!"
        FROM unnest($1::smallint[], $2::text[], $3::uuid[], $4::uuid[]) AS k (lane, tenant_id, event_id, endpoint_id)
        JOIN trunkline.deliveries AS d
            ON d.lane = k.lane AND d.tenant_id = k.tenant_id AND d.event_id = k.event_id AND d.endpoint_id = k.endpoint_id
        WHERE d.ordering_key IS NOT NULL AND d.event_id BETWEEN $5 AND $6 AND ($7::smallint[] IS NULL OR d.lane = ANY($7))
        "#,
        &columns.lanes,
        &columns.tenants,
        &columns.events,
        &columns.endpoints,
        lowest,
        highest,
        of.parameter() as _,
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
    named.collect()
}

/// At most `limit` keys of which something waits though nothing is before it: what an end left behind that did not look, such as an
/// endpoint's that delivers in order no more. [`release`] lets it go.
///
/// # Errors
/// When the database is not available.
pub async fn stranded(connection: &mut Connection, limit: i64) -> Result<Vec<KeyName>, StoreError> {
    let mut names = Vec::new();
    for of in citus::every_shard(connection).await? {
        let left = limit - i64::try_from(names.len()).unwrap_or(limit);
        let found = stranded_of(connection, &of, left).await;
        names.extend(found.map_err(|error| citus::forget_if_refused(connection, error))?);
    }
    Ok(names)
}

async fn stranded_of(
    connection: &mut Connection,
    of: &Lanes,
    limit: i64,
) -> Result<Vec<KeyName>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT DISTINCT h.lane, h.tenant_id, h.ordering_key AS "key!"
        FROM trunkline.deliveries AS h
        JOIN trunkline.endpoints AS e ON e.tenant_id = h.tenant_id AND e.endpoint_id = h.endpoint_id
        WHERE h.ordering_key IS NOT NULL AND h.finished_at IS NULL AND h.held AND ($2::smallint[] IS NULL OR h.lane = ANY($2))
          AND NOT EXISTS (
              SELECT FROM trunkline.deliveries AS b
              WHERE b.lane = h.lane AND ($2::smallint[] IS NULL OR b.lane = ANY($2))
                AND b.tenant_id = h.tenant_id AND b.endpoint_id = h.endpoint_id
                AND b.ordering_key = h.ordering_key AND b.finished_at IS NULL AND b.event_id < h.event_id
          )
          AND NOT (e.ordering_blocks AND EXISTS (
              SELECT FROM trunkline.deliveries AS b
              WHERE b.lane = h.lane AND ($2::smallint[] IS NULL OR b.lane = ANY($2))
                AND b.tenant_id = h.tenant_id AND b.status = 'FAILED' AND b.due_at IS NULL
                AND b.endpoint_id = h.endpoint_id AND b.ordering_key = h.ordering_key AND b.event_id < h.event_id
          ))
        LIMIT $1
        "#,
        limit,
        of.parameter() as _,
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
    fn of<'a>(names: impl IntoIterator<Item = &'a KeyName>) -> Self {
        let mut columns = Self { lanes: Vec::new(), tenants: Vec::new(), keys: Vec::new() };
        for name in names {
            columns.lanes.push(name.lane.number());
            columns.tenants.push(name.tenant_id.to_string());
            columns.keys.push(name.key.clone());
        }
        columns
    }
}
