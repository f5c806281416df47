use trunkline_domain::{EndpointId, Lane, TenantId};

use crate::events::IdRange;
use crate::{Connection, StoreError};

/// Rows of a tenant's history that one question reads: it bounds what an answer costs.
pub const LOOKED_AT_MAX: i64 = 50_000;

/// How an endpoint's deliveries of events in a range stand.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeliveryCounts {
    /// Not attempted yet in this cycle.
    pub pending: i64,
    /// Delivered.
    pub delivered: i64,
    /// The last attempt failed; dead letters too.
    pub failed: i64,
    /// Those of them that used up their budget.
    pub dead_letters: i64,
    /// Taken back.
    pub cancelled: i64,
    /// Deliveries of the tenant that were looked at; [`LOOKED_AT_MAX`] = there may be older ones.
    pub looked_at: i64,
}

/// How an endpoint's attempts for events in a range ended.
#[derive(Debug, Clone, Default)]
pub struct AttemptCounts {
    /// How many ended in each way.
    pub outcomes: Vec<(String, i64)>,
    /// Half of them took no longer, milliseconds.
    pub p50_ms: Option<f64>,
    /// 95 of a hundred took no longer, milliseconds.
    pub p95_ms: Option<f64>,
    /// Attempts of the tenant that were looked at; [`LOOKED_AT_MAX`] = there may be older ones.
    pub looked_at: i64,
}

/// Counts deliveries by status, of the newest events in the range.
///
/// # Errors
/// When the database is not available.
pub async fn count_deliveries(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
    range: IdRange,
) -> Result<DeliveryCounts, StoreError> {
    Ok(sqlx::query_as!(
        DeliveryCounts,
        r#"
        SELECT count(*) FILTER (WHERE endpoint_id = $3 AND status = 'PENDING') AS "pending!",
               count(*) FILTER (WHERE endpoint_id = $3 AND status = 'DELIVERED') AS "delivered!",
               count(*) FILTER (WHERE endpoint_id = $3 AND status = 'FAILED') AS "failed!",
               count(*) FILTER (WHERE endpoint_id = $3 AND status = 'FAILED' AND due_at IS NULL) AS "dead_letters!",
               count(*) FILTER (WHERE endpoint_id = $3 AND status = 'CANCELLED') AS "cancelled!",
               count(*) AS "looked_at!"
        FROM (
            SELECT endpoint_id, status, due_at
            FROM trunkline.deliveries
            WHERE lane = $1 AND tenant_id = $2 AND event_id >= $4 AND event_id < $5
            ORDER BY event_id DESC
            LIMIT $6
        ) AS newest
        "#,
        lane.number(),
        tenant_id.as_str(),
        endpoint_id.as_uuid(),
        range.from,
        range.before,
        LOOKED_AT_MAX,
    )
    .fetch_one(connection)
    .await?)
}

/// Counts attempts by outcome and says how long they took, of the newest events in the range.
///
/// # Errors
/// When the database is not available.
pub async fn count_attempts(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
    range: IdRange,
) -> Result<AttemptCounts, StoreError> {
    let found = sqlx::query!(
        r#"
        WITH newest AS MATERIALIZED (
            SELECT endpoint_id, outcome, duration_ms
            FROM trunkline.attempts
            WHERE lane = $1 AND tenant_id = $2 AND event_id >= $4 AND event_id < $5
            ORDER BY event_id DESC
            LIMIT $6
        ), counted AS (
            SELECT outcome::text AS outcome, count(*) AS attempts
            FROM newest
            WHERE endpoint_id = $3
            GROUP BY outcome
        )
        SELECT (SELECT coalesce(array_agg(outcome ORDER BY outcome), '{}') FROM counted) AS "outcomes!",
               (SELECT coalesce(array_agg(attempts ORDER BY outcome), '{}') FROM counted) AS "counts!",
               percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms) FILTER (WHERE endpoint_id = $3) AS p50_ms,
               percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ms) FILTER (WHERE endpoint_id = $3) AS p95_ms,
               count(*) AS "looked_at!"
        FROM newest
        "#,
        lane.number(),
        tenant_id.as_str(),
        endpoint_id.as_uuid(),
        range.from,
        range.before,
        LOOKED_AT_MAX,
    )
    .fetch_one(connection)
    .await?;
    Ok(AttemptCounts {
        outcomes: found.outcomes.into_iter().zip(found.counts).collect(),
        p50_ms: found.p50_ms,
        p95_ms: found.p95_ms,
        looked_at: found.looked_at,
    })
}
