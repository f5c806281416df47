use std::collections::HashMap;

use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, Lane, TenantId};
use uuid::Uuid;

use crate::citus::{self, Lanes};
use crate::days::Numbers;
use crate::events::IdRange;
use crate::{Connection, StoreError, row};

/// An endpoint for which work is open, and since or from when.
#[derive(Debug, Clone)]
pub struct ActiveEndpoint {
    /// Its tenant's lane.
    pub lane: Lane,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// The earliest due time of its open deliveries; may lie ahead, or belong to one that is under way.
    pub first_due_at: DateTime<Utc>,
    /// The earliest due time of what was retried by hand and may pass a pause, if there is any.
    pub expedited_from: Option<DateTime<Utc>>,
}

/// Where each lane's next look continues; a lane that is not named starts from its first endpoint.
pub type Places = HashMap<Lane, EndpointId>;

/// Endpoints of these lanes with open deliveries of events in the range, in order of id from each lane's place on, at
/// most `limit` of them. Fewer mean that every lane came to its end.
///
/// A loose index scan: it jumps from endpoint to endpoint in the index of due work, so that its cost follows the
/// number of endpoints and not the number of deliveries.
///
/// # Errors
/// When the database is not available.
pub async fn active_endpoints(
    connection: &mut Connection,
    lanes: &[Lane],
    places: &Places,
    range: IdRange,
    limit: i64,
) -> Result<Vec<ActiveEndpoint>, StoreError> {
    let mut active = Vec::new();
    for part in citus::parts(connection, lanes, |lane| *lane).await? {
        let left = limit - i64::try_from(active.len()).unwrap_or(limit);
        if left <= 0 {
            break;
        }
        let found = active_of(connection, &part.rows, &part.lanes, places, range, left).await;
        active.extend(found.map_err(|error| citus::forget_if_refused(connection, error))?);
    }
    Ok(active)
}

async fn active_of(
    connection: &mut Connection,
    lanes: &[Lane],
    of: &Lanes,
    places: &Places,
    range: IdRange,
    limit: i64,
) -> Result<Vec<ActiveEndpoint>, StoreError> {
    let numbers: Vec<i16> = lanes.iter().map(|lane| lane.number()).collect();
    let after: Vec<Uuid> = lanes
        .iter()
        .map(|lane| places.get(lane).map_or(Uuid::nil(), |endpoint_id| endpoint_id.as_uuid()))
        .collect();
    let rows = sqlx::query!(
        r#"
        WITH RECURSIVE active AS (
            SELECT first.lane, first.endpoint_id, first.tenant_id, first.due_at
            FROM unnest($1::smallint[], $2::uuid[]) AS place (lane, endpoint_id)
            CROSS JOIN LATERAL (
                SELECT lane, endpoint_id, tenant_id, due_at
                FROM trunkline.deliveries
                WHERE lane = place.lane AND ($6::smallint[] IS NULL OR lane = ANY($6)) AND endpoint_id > place.endpoint_id
                  AND due_at IS NOT NULL AND event_id >= $3 AND event_id < $4
                ORDER BY endpoint_id, due_at
                LIMIT 1
            ) AS first
            UNION ALL
            SELECT next.lane, next.endpoint_id, next.tenant_id, next.due_at
            FROM active
            CROSS JOIN LATERAL (
                SELECT lane, endpoint_id, tenant_id, due_at
                FROM trunkline.deliveries
                WHERE lane = active.lane AND ($6::smallint[] IS NULL OR lane = ANY($6)) AND endpoint_id > active.endpoint_id
                  AND due_at IS NOT NULL AND event_id >= $3 AND event_id < $4
                ORDER BY endpoint_id, due_at
                LIMIT 1
            ) AS next
        )
        SELECT lane AS "lane!", endpoint_id AS "endpoint_id!", tenant_id AS "tenant_id!", due_at AS "due_at!",
               (
                   SELECT min(d.due_at)
                   FROM trunkline.deliveries AS d
                   WHERE d.lane = active.lane AND ($6::smallint[] IS NULL OR d.lane = ANY($6)) AND d.endpoint_id = active.endpoint_id
                     AND d.expedited AND d.event_id >= $3 AND d.event_id < $4
               ) AS expedited_from
        FROM active
        LIMIT $5
        "#,
        &numbers,
        &after,
        range.from,
        range.before,
        limit,
        of.parameter() as _,
    )
    .fetch_all(connection.over_days(range, of, Numbers { from: 3, before: 4, lanes: 6 }))
    .await?;
    rows.into_iter()
        .map(|found| {
            Ok(ActiveEndpoint {
                lane: row::lane("deliveries", found.lane, found.endpoint_id)?,
                tenant_id: row::tenant_id("deliveries", found.tenant_id)?,
                endpoint_id: EndpointId::from(found.endpoint_id),
                first_due_at: found.due_at,
                expedited_from: found.expedited_from,
            })
        })
        .collect()
}

/// The lower bound of every event that still has open deliveries: the start of the oldest partition in which any is due.
/// `None` = nothing is open. Looks and claims that name it read as many partitions as have work, not as many as there are.
///
/// # Errors
/// When the database is not available.
pub async fn oldest_open(connection: &mut Connection) -> Result<Option<Uuid>, StoreError> {
    let mut oldest = None;
    for of in citus::every_shard(connection).await? {
        let found = oldest_open_of(connection, &of).await;
        let found = found.map_err(|error| citus::forget_if_refused(connection, error))?;
        oldest = [oldest, found].into_iter().flatten().min();
    }
    Ok(oldest)
}

async fn oldest_open_of(connection: &mut Connection, of: &Lanes) -> Result<Option<Uuid>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        SELECT h.from_id AS "from!"
        FROM (
            SELECT from_day,
                   trunkline.uuid_v7_floor(from_day::timestamp AT TIME ZONE 'UTC') AS from_id,
                   trunkline.uuid_v7_floor(until_day::timestamp AT TIME ZONE 'UTC') AS until_id
            FROM trunkline.history_partitions
            -- Computes the bounds once a partition, not once a row.
            OFFSET 0
        ) AS h
        -- LATERAL with LIMIT looks into one partition at a time and stops at its first row. EXISTS would become a join of every due
        -- row with every partition (4 s for 60 partitions, measured).
        CROSS JOIN LATERAL (
            SELECT
            FROM trunkline.deliveries AS d
            WHERE d.due_at IS NOT NULL AND d.event_id >= h.from_id AND d.event_id < h.until_id
              AND ($1::smallint[] IS NULL OR d.lane = ANY($1))
            -- Any row will do; the order is that of the index of due work, where only such rows are.
            ORDER BY d.lane, d.endpoint_id, d.due_at
            LIMIT 1
        ) AS open
        ORDER BY h.from_day
        LIMIT 1
        "#,
        of.parameter() as _,
    )
    .fetch_optional(connection)
    .await?)
}
