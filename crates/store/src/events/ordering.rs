//! Order by key: order is order of commit.
//!
//! Whoever publishes with a key, or brings a delivery of it to its end, holds the key's row until the commit. So a publisher sees
//! how the delivery before stands, and whoever ends that delivery sees who waits behind it; neither can miss the other.

mod lines;
mod sweep;

use std::collections::{HashMap, HashSet};

use trunkline_domain::{EventId, Lane, OrderingKey, TenantId};
use uuid::Uuid;

use crate::citus::{self, Lanes};
use crate::{Connection, StoreError};

pub use lines::{Line, Place, Stranded, lines_of, lines_of_event, release, stranded};
pub use sweep::{KeyPlace, sweep};

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

/// Locks the keys of those lines that nobody else holds, and tells the lines apart: those that are free now, and the others. A key without
/// a row is free: it was swept, and nobody published with it since. Whoever has something to bring to its end waits for no publisher,
/// whose transaction may last as long as an application likes.
///
/// # Errors
/// When the database is not available.
pub async fn lock_free(
    connection: &mut Connection,
    lines: impl IntoIterator<Item = Line>,
) -> Result<(Vec<Line>, Vec<Line>), StoreError> {
    let lines: Vec<Line> = lines.into_iter().collect();
    let names = Line::names(&lines);
    let mut held = HashSet::new();
    for part in citus::parts(connection, &names, |name| name.lane).await? {
        let done = lock_free_of(connection, &part.rows, &part.lanes).await;
        held.extend(done.map_err(|error| citus::forget_if_refused(connection, error))?);
    }
    Ok(lines.into_iter().partition(|line| !held.contains(&line.name)))
}

/// Returns those that somebody else holds.
async fn lock_free_of(
    connection: &mut Connection,
    names: &[KeyName],
    of: &Lanes,
) -> Result<Vec<KeyName>, StoreError> {
    let columns = Columns::of(names);
    let held = sqlx::query_scalar!(
        r#"
        WITH free AS MATERIALIZED (
            SELECT n.number
            FROM unnest($1::smallint[], $2::text[], $3::text[]) WITH ORDINALITY AS n (lane, tenant_id, key, number)
            JOIN trunkline.ordering_keys AS k ON k.lane = n.lane AND k.tenant_id = n.tenant_id AND k.key = n.key
            WHERE $4::smallint[] IS NULL OR k.lane = ANY($4)
            FOR UPDATE OF k SKIP LOCKED
        )
        SELECT n.number AS "number!"
        FROM unnest($1::smallint[], $2::text[], $3::text[]) WITH ORDINALITY AS n (lane, tenant_id, key, number)
        JOIN trunkline.ordering_keys AS k ON k.lane = n.lane AND k.tenant_id = n.tenant_id AND k.key = n.key
        WHERE ($4::smallint[] IS NULL OR k.lane = ANY($4)) AND n.number NOT IN (SELECT number FROM free)
        "#,
        &columns.lanes,
        &columns.tenants,
        &columns.keys,
        of.parameter() as _,
    )
    .fetch_all(connection)
    .await?;
    let named = held.into_iter().filter_map(|number| names.get(usize::try_from(number - 1).ok()?));
    Ok(named.cloned().collect())
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
                  WHERE b.lane = d.lane AND ($4::smallint[] IS NULL OR b.lane = ANY($4))
                    AND b.tenant_id = d.tenant_id AND b.endpoint_id = d.endpoint_id
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
