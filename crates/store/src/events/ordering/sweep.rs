use trunkline_domain::EventId;

use super::KeyName;
use crate::citus::{self, Lanes};
use crate::{Connection, StoreError, row};

/// How far a sweep through all keys came.
#[derive(Debug, Clone, Default)]
pub struct KeyPlace {
    shard: usize,
    /// The last key that was looked at.
    name: Option<KeyName>,
}

/// Looks through at most `rows_max` keys, from that place on, and removes those with which nothing was published since `before` and by
/// which nothing is open. Returns where the next look begins; `None` = this one came to the end.
///
/// A walk by the primary key and no index on `last_event_id`, which each publish would have to keep.
///
/// # Errors
/// When the database is not available.
pub async fn sweep(
    connection: &mut Connection,
    from: KeyPlace,
    before: EventId,
    rows_max: i64,
) -> Result<Option<KeyPlace>, StoreError> {
    let shards = citus::every_shard(connection).await?;
    let Some(of) = shards.get(from.shard) else { return Ok(None) };
    let last = sweep_of(connection, of, from.name.as_ref(), before, rows_max).await;
    let last = last.map_err(|error| citus::forget_if_refused(connection, error))?;
    Ok(match last {
        Some(name) => Some(KeyPlace { name: Some(name), ..from }),
        None if from.shard + 1 < shards.len() => Some(KeyPlace { shard: from.shard + 1, name: None }),
        None => None,
    })
}

/// The last key that was looked at, where there may be more.
async fn sweep_of(
    connection: &mut Connection,
    of: &Lanes,
    after: Option<&KeyName>,
    before: EventId,
    rows_max: i64,
) -> Result<Option<KeyName>, StoreError> {
    // Whoever publishes with a key meanwhile holds its row, or has written a later event to it.
    let last = sqlx::query!(
        r#"
        WITH portion AS MATERIALIZED (
            SELECT lane, tenant_id, key
            FROM trunkline.ordering_keys
            WHERE ($6::smallint[] IS NULL OR lane = ANY($6)) AND (lane, tenant_id, key) > ($1, $2, $3)
            ORDER BY lane, tenant_id, key
            LIMIT $5
        ), idle AS MATERIALIZED (
            SELECT k.lane, k.tenant_id, k.key
            FROM portion AS p
            JOIN trunkline.ordering_keys AS k ON k.lane = p.lane AND k.tenant_id = p.tenant_id AND k.key = p.key
            WHERE k.last_event_id < $4 AND ($6::smallint[] IS NULL OR k.lane = ANY($6))
              AND NOT EXISTS (
                  SELECT FROM trunkline.endpoints AS e
                  JOIN trunkline.deliveries AS d ON d.tenant_id = e.tenant_id AND d.endpoint_id = e.endpoint_id
                  WHERE e.tenant_id = k.tenant_id
                    AND d.lane = k.lane AND ($6::smallint[] IS NULL OR d.lane = ANY($6))
                    AND d.ordering_key = k.key AND d.finished_at IS NULL
              )
            FOR UPDATE OF k SKIP LOCKED
        ), swept AS (
            DELETE FROM trunkline.ordering_keys AS k
            USING idle AS i
            WHERE k.lane = i.lane AND k.tenant_id = i.tenant_id AND k.key = i.key
              AND ($6::smallint[] IS NULL OR k.lane = ANY($6))
            RETURNING k.lane
        )
        SELECT lane AS "lane!", tenant_id AS "tenant_id!", key AS "key!"
        FROM portion
        WHERE (SELECT count(*) FROM portion) = $5
        ORDER BY lane DESC, tenant_id DESC, key DESC
        LIMIT 1
        "#,
        after.map_or(-1, |name| name.lane.number()),
        after.map_or("", |name| name.tenant_id.as_str()),
        after.map_or("", |name| name.key.as_str()),
        before.as_uuid(),
        rows_max,
        of.parameter() as _,
    )
    .fetch_optional(connection)
    .await?;
    last.map(|last| {
        Ok(KeyName {
            lane: row::lane("ordering_keys", last.lane, &last.key)?,
            tenant_id: row::tenant_id("ordering_keys", last.tenant_id)?,
            key: last.key,
        })
    })
    .transpose()
}
