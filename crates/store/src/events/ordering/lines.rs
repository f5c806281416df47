use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, EventId, Lane, TenantId};
use uuid::Uuid;

use super::KeyName;
use crate::citus::{self, Lanes};
use crate::deliveries::{DeliveryKey, KeyColumns};
use crate::wake::Hint;
use crate::{Connection, StoreError, row};

/// What waits for one endpoint by one key, one behind the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    /// The key.
    pub name: KeyName,
    /// The endpoint.
    pub endpoint_id: EndpointId,
}

impl Line {
    fn read(lane: i16, tenant_id: String, key: String, endpoint_id: Uuid) -> Result<Self, StoreError> {
        let name = KeyName {
            lane: row::lane("deliveries", lane, &key)?,
            tenant_id: row::tenant_id("deliveries", tenant_id)?,
            key,
        };
        Ok(Self { name, endpoint_id: EndpointId::from(endpoint_id) })
    }

    /// The keys of these lines, sorted and each once, as they are locked.
    pub fn names<'a>(lines: impl IntoIterator<Item = &'a Self>) -> Vec<KeyName> {
        let names: BTreeSet<&KeyName> = lines.into_iter().map(|line| &line.name).collect();
        names.into_iter().cloned().collect()
    }
}

/// Lets the first of each of these lines go, if nothing is before it any more; the keys must be locked before, in a statement of
/// their own, whose end others may have waited for. Returns whom to tell.
///
/// # Errors
/// When the database is not available.
pub async fn release(
    connection: &mut Connection,
    lines: &[Line],
    now: DateTime<Utc>,
) -> Result<Vec<Hint>, StoreError> {
    let mut released = Vec::new();
    for part in citus::parts(connection, lines, |line| line.name.lane).await? {
        let done = release_of(connection, &part.rows, &part.lanes, now).await;
        released.extend(done.map_err(|error| citus::forget_if_refused(connection, error))?);
    }
    Ok(released)
}

async fn release_of(
    connection: &mut Connection,
    lines: &[Line],
    of: &Lanes,
    now: DateTime<Utc>,
) -> Result<Vec<Hint>, StoreError> {
    let lanes: Vec<i16> = lines.iter().map(|line| line.name.lane.number()).collect();
    let tenants: Vec<&str> = lines.iter().map(|line| line.name.tenant_id.as_str()).collect();
    let keys: Vec<&str> = lines.iter().map(|line| line.name.key.as_str()).collect();
    let endpoints: Vec<Uuid> = lines.iter().map(|line| line.endpoint_id.as_uuid()).collect();
    let rows = sqlx::query!(
        r#"
        UPDATE trunkline.deliveries AS d
        SET held = false, due_at = greatest($5, v.deliver_at)
        FROM unnest($1::smallint[], $2::text[], $3::text[], $4::uuid[]) AS n (lane, tenant_id, key, endpoint_id)
        JOIN trunkline.endpoints AS e
            ON e.tenant_id = n.tenant_id AND e.endpoint_id = n.endpoint_id
        CROSS JOIN LATERAL (
            SELECT f.event_id, f.held
            FROM trunkline.deliveries AS f
            WHERE f.lane = n.lane AND ($6::smallint[] IS NULL OR f.lane = ANY($6))
              AND f.tenant_id = n.tenant_id AND f.endpoint_id = n.endpoint_id
              AND f.ordering_key = n.key AND f.finished_at IS NULL
            ORDER BY f.event_id
            LIMIT 1
        ) AS first
        CROSS JOIN LATERAL (
            SELECT deliver_at
            FROM trunkline.events
            WHERE lane = n.lane AND ($6::smallint[] IS NULL OR lane = ANY($6))
              AND tenant_id = n.tenant_id AND event_id = first.event_id
            LIMIT 1
        ) AS v
        WHERE first.held
          AND d.lane = n.lane AND ($6::smallint[] IS NULL OR d.lane = ANY($6))
          AND d.tenant_id = n.tenant_id AND d.event_id = first.event_id
          AND d.endpoint_id = n.endpoint_id AND d.held
          AND NOT (e.ordering_blocks AND EXISTS (
              SELECT FROM trunkline.deliveries AS b
              WHERE b.lane = n.lane AND ($6::smallint[] IS NULL OR b.lane = ANY($6))
                AND b.tenant_id = n.tenant_id AND b.status = 'FAILED' AND b.due_at IS NULL
                AND b.endpoint_id = n.endpoint_id AND b.ordering_key = n.key AND b.event_id < first.event_id
          ))
        RETURNING d.lane, d.tenant_id, d.endpoint_id
        "#,
        &lanes,
        &tenants as _,
        &keys as _,
        &endpoints,
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

/// The lines that an event's deliveries are in.
///
/// # Errors
/// When the database is not available.
pub async fn lines_of_event(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    event_id: EventId,
) -> Result<Vec<Line>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT endpoint_id, ordering_key AS "key!"
        FROM trunkline.deliveries
        WHERE lane = $1 AND tenant_id = $2 AND event_id = $3 AND ordering_key IS NOT NULL
        "#,
        lane.number(),
        tenant_id.as_str(),
        event_id.as_uuid(),
    )
    .fetch_all(connection)
    .await?;
    let line = |name: KeyName, endpoint_id: Uuid| Line { name, endpoint_id: EndpointId::from(endpoint_id) };
    let name = |key: String| KeyName { lane, tenant_id: tenant_id.clone(), key };
    Ok(rows.into_iter().map(|found| line(name(found.key), found.endpoint_id)).collect())
}

/// The lines that these deliveries are in, each once.
///
/// # Errors
/// When the database is not available.
pub async fn lines_of(
    connection: &mut Connection,
    deliveries: &[DeliveryKey],
) -> Result<Vec<Line>, StoreError> {
    let mut lines = Vec::new();
    for part in citus::parts(connection, deliveries, |key| key.lane).await? {
        let found = lines_of_some(connection, &part.rows, &part.lanes).await;
        lines.extend(found.map_err(|error| citus::forget_if_refused(connection, error))?);
    }
    Ok(lines)
}

async fn lines_of_some(
    connection: &mut Connection,
    deliveries: &[DeliveryKey],
    of: &Lanes,
) -> Result<Vec<Line>, StoreError> {
    let columns = KeyColumns::of(deliveries);
    let range = columns.event_range();
    let rows = sqlx::query!(
        r#"
        SELECT DISTINCT d.lane, d.tenant_id, d.ordering_key AS "key!", d.endpoint_id
        FROM unnest($1::smallint[], $2::text[], $3::uuid[], $4::uuid[]) AS k (lane, tenant_id, event_id, endpoint_id)
        JOIN trunkline.deliveries AS d
            ON d.lane = k.lane AND d.tenant_id = k.tenant_id AND d.event_id = k.event_id AND d.endpoint_id = k.endpoint_id
        WHERE d.ordering_key IS NOT NULL AND d.event_id >= $5 AND d.event_id < $6
          AND ($7::smallint[] IS NULL OR d.lane = ANY($7))
        "#,
        &columns.lanes,
        &columns.tenants,
        &columns.events,
        &columns.endpoints,
        range.from,
        range.before,
        of.parameter() as _,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|found| Line::read(found.lane, found.tenant_id, found.key, found.endpoint_id))
        .collect()
}

/// What a look for stranded lines found.
#[derive(Debug, Default)]
pub struct Stranded {
    /// Something waits in them though nothing is before it; [`release`] lets it go.
    pub lines: Vec<Line>,
    /// Where the next look begins; `None` = this one came to the end.
    pub next: Option<Place>,
}

/// How far a look through all lines came.
#[derive(Debug, Clone, Default)]
pub struct Place {
    shard: usize,
    /// The last line that was looked at.
    line: Option<Line>,
}

/// Looks through at most `rows_max` open deliveries with a key, from that place on, for lines whose first waits though
/// nothing is before it: what an end left behind that could not look, because somebody published with the key just then, or did
/// not, such as an endpoint's that delivers in order no more.
///
/// # Errors
/// When the database is not available.
pub async fn stranded(
    connection: &mut Connection,
    from: Place,
    rows_max: i64,
) -> Result<Stranded, StoreError> {
    let shards = citus::every_shard(connection).await?;
    let Some(of) = shards.get(from.shard) else { return Ok(Stranded::default()) };
    let found = stranded_of(connection, of, from.line.as_ref(), rows_max).await;
    let (lines, last) = found.map_err(|error| citus::forget_if_refused(connection, error))?;
    let next = match last {
        Some(line) => Some(Place { line: Some(line), ..from }),
        None if from.shard + 1 < shards.len() => Some(Place { shard: from.shard + 1, line: None }),
        None => None,
    };
    Ok(Stranded { lines, next })
}

/// The last line that was looked at, where there may be more, beside what was found.
async fn stranded_of(
    connection: &mut Connection,
    of: &Lanes,
    after: Option<&Line>,
    rows_max: i64,
) -> Result<(Vec<Line>, Option<Line>), StoreError> {
    let rows = sqlx::query!(
        r#"
        WITH portion AS MATERIALIZED (
            -- In the order of deliveries_ordered.
            SELECT lane, tenant_id, endpoint_id, ordering_key, event_id, held
            FROM trunkline.deliveries
            WHERE ordering_key IS NOT NULL AND finished_at IS NULL
              AND ($6::smallint[] IS NULL OR lane = ANY($6))
              AND (lane, tenant_id, endpoint_id, ordering_key) > ($1, $2, $3, $4)
            ORDER BY lane, tenant_id, endpoint_id, ordering_key, event_id
            LIMIT $5
        ), first AS (
            SELECT DISTINCT ON (lane, tenant_id, endpoint_id, ordering_key) *
            FROM portion
            ORDER BY lane, tenant_id, endpoint_id, ordering_key, event_id
        ), last AS (
            SELECT lane, tenant_id, endpoint_id, ordering_key
            FROM first
            ORDER BY lane DESC, tenant_id DESC, endpoint_id DESC, ordering_key DESC
            LIMIT 1
        ), stranded AS (
            SELECT f.lane, f.tenant_id, f.endpoint_id, f.ordering_key
            FROM first AS f
            JOIN trunkline.endpoints AS e ON e.tenant_id = f.tenant_id AND e.endpoint_id = f.endpoint_id
            WHERE f.held
              AND NOT (e.ordering_blocks AND EXISTS (
                  SELECT FROM trunkline.deliveries AS b
                  WHERE b.lane = f.lane AND ($6::smallint[] IS NULL OR b.lane = ANY($6))
                    AND b.tenant_id = f.tenant_id AND b.status = 'FAILED' AND b.due_at IS NULL
                    AND b.endpoint_id = f.endpoint_id AND b.ordering_key = f.ordering_key AND b.event_id < f.event_id
              ))
        )
        SELECT lane AS "lane!", tenant_id AS "tenant_id!", endpoint_id AS "endpoint_id!", ordering_key AS "key!",
               false AS "is_next!"
        FROM stranded
        UNION ALL
        SELECT lane, tenant_id, endpoint_id, ordering_key, true
        FROM last
        WHERE (SELECT count(*) FROM portion) = $5
        "#,
        after.map_or(-1, |line| line.name.lane.number()),
        after.map_or("", |line| line.name.tenant_id.as_str()),
        after.map_or(Uuid::nil(), |line| line.endpoint_id.as_uuid()),
        after.map_or("", |line| line.name.key.as_str()),
        rows_max,
        of.parameter() as _,
    )
    .fetch_all(connection)
    .await?;
    let (mut lines, mut last) = (Vec::new(), None);
    for row in rows {
        let line = Line::read(row.lane, row.tenant_id, row.key, row.endpoint_id)?;
        if row.is_next {
            last = Some(line);
        } else {
            lines.push(line);
        }
    }
    Ok((lines, last))
}
