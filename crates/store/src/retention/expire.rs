use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, TenantId};
use uuid::Uuid;

use crate::citus::{self, Lanes};
use crate::{Connection, StoreError, row};

/// Deliveries of one endpoint that were cancelled because their time was over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// Whose they were.
    pub tenant_id: TenantId,
    /// Where they were to go.
    pub endpoint_id: EndpointId,
    /// How many.
    pub count: u64,
}

/// Cancels what has not come to its end of events below `below`, at most `limit` deliveries of it. What waits behind one by its
/// ordering key the upkeep releases.
///
/// # Errors
/// When the database is not available.
pub async fn expire(
    connection: &mut Connection,
    below: Uuid,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Expired>, StoreError> {
    let mut expired = Vec::new();
    for of in citus::every_shard(connection).await? {
        let done = expire_of(connection, below, &of, now, limit).await;
        expired.extend(done.map_err(|error| citus::forget_if_refused(connection, error))?);
    }
    Ok(expired)
}

async fn expire_of(
    connection: &mut Connection,
    below: Uuid,
    of: &Lanes,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Expired>, StoreError> {
    let rows = sqlx::query!(
        r#"
        WITH found AS MATERIALIZED (
            -- Each half has a partial index; together they would read whole partitions.
            (
                SELECT lane, tenant_id, event_id, endpoint_id
                FROM trunkline.deliveries
                WHERE due_at IS NOT NULL AND event_id < $1 AND ($4::smallint[] IS NULL OR lane = ANY($4))
                LIMIT $3
            )
            UNION ALL
            (
                SELECT lane, tenant_id, event_id, endpoint_id
                FROM trunkline.deliveries
                WHERE held AND ordering_key IS NOT NULL AND finished_at IS NULL AND event_id < $1
                  AND ($4::smallint[] IS NULL OR lane = ANY($4))
                LIMIT $3
            )
            LIMIT $3
        ), open AS (
            SELECT d.lane, d.tenant_id, d.event_id, d.endpoint_id, d.attempts, d.lease, d.leased_until
            FROM found AS f
            JOIN trunkline.deliveries AS d USING (lane, tenant_id, event_id, endpoint_id)
            WHERE (d.due_at IS NOT NULL OR d.held) AND d.event_id < $1 AND ($4::smallint[] IS NULL OR d.lane = ANY($4))
            FOR UPDATE OF d SKIP LOCKED
        ), cancelled AS (
            UPDATE trunkline.deliveries AS d
            SET status = 'CANCELLED', due_at = NULL, held = false, expedited = false, lease = NULL, leased_until = NULL,
                finished_at = $2, last_error = 'expired'
            FROM open AS o
            WHERE d.lane = o.lane AND d.tenant_id = o.tenant_id AND d.event_id = o.event_id AND d.endpoint_id = o.endpoint_id
              AND d.event_id < $1 AND ($4::smallint[] IS NULL OR d.lane = ANY($4))
            RETURNING d.lane, d.tenant_id, d.event_id, d.endpoint_id, o.attempts, o.lease, o.leased_until
        ), superseded AS (
            INSERT INTO trunkline.attempts (lane, tenant_id, event_id, endpoint_id, attempt, started_at, outcome, error)
            SELECT lane, tenant_id, event_id, endpoint_id, attempts, least($2, leased_until), 'superseded',
                   'its time was over while it was under way'
            FROM cancelled
            WHERE lease IS NOT NULL
            RETURNING lane
        )
        SELECT tenant_id, endpoint_id, count(*) AS "count!"
        FROM cancelled
        GROUP BY tenant_id, endpoint_id
        "#,
        below,
        now,
        limit,
        of.parameter() as _,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|found| {
            Ok(Expired {
                tenant_id: row::tenant_id("deliveries", found.tenant_id)?,
                endpoint_id: EndpointId::from(found.endpoint_id),
                count: u64::try_from(found.count).unwrap_or(0),
            })
        })
        .collect()
}
