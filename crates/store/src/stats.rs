//! Counts over a tenant's history, in buckets of time. Everything belongs to the bucket in which its event was created, so
//! that ids alone bound what is read.

use trunkline_domain::{EndpointId, EventType, Lane, TenantId};
use uuid::Uuid;

use crate::{Connection, StoreError};

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Its tenant's lane.
    pub lane: Lane,
    /// Whose history.
    pub tenant_id: &'a TenantId,
    /// Only deliveries to this endpoint, their attempts, and the events that have one.
    pub endpoint_id: Option<EndpointId>,
    /// Only events of this type, and what belongs to them.
    pub event_type: Option<&'a EventType>,
    /// Where each bucket begins, oldest first.
    pub from: &'a [Uuid],
    /// Where each bucket ends: the first id that is not in it.
    pub before: &'a [Uuid],
}

impl Scope<'_> {
    /// All buckets together, which tells the planner the partitions that can be touched.
    fn bounds(&self) -> (Uuid, Uuid) {
        let lowest = self.from.iter().min().copied().unwrap_or_default();
        let highest = self.before.iter().max().copied().unwrap_or_default();
        (lowest, highest)
    }
}

/// Events of a bucket; `bucket` counts from 1, `None` = of all together. So below.
#[derive(Debug, Clone)]
pub struct EventCount {
    /// Which bucket.
    pub bucket: Option<i64>,
    /// How many.
    pub events: i64,
}

/// Deliveries of a bucket, by status.
#[derive(Debug, Clone, Default)]
pub struct DeliveryCounts {
    /// Which bucket.
    pub bucket: Option<i64>,
    /// PENDING.
    pub pending: i64,
    /// DELIVERED.
    pub delivered: i64,
    /// FAILED, dead letters among them.
    pub failed: i64,
    /// FAILED and not attempted again by itself.
    pub dead: i64,
    /// CANCELLED.
    pub cancelled: i64,
}

/// Attempts of a bucket, by outcome.
#[derive(Debug, Clone)]
pub struct AttemptCount {
    /// Which bucket.
    pub bucket: Option<i64>,
    /// In the words of `AttemptOutcome`.
    pub outcome: String,
    /// How many.
    pub attempts: i64,
}

/// How long the attempts of a bucket took, in milliseconds.
#[derive(Debug, Clone)]
pub struct Latency {
    /// Which bucket.
    pub bucket: Option<i64>,
    /// The 50th, 95th and 99th percentile; empty if none was measured.
    pub percentiles_ms: Vec<f64>,
}

/// Counts events.
///
/// # Errors
/// When the database is not available, or it takes longer than the connection allows.
pub async fn events(connection: &mut Connection, scope: Scope<'_>) -> Result<Vec<EventCount>, StoreError> {
    let (lowest, highest) = scope.bounds();
    Ok(sqlx::query_as!(
        EventCount,
        r#"
        SELECT b.bucket AS "bucket?", count(*) AS "events!"
        FROM unnest($3::uuid[], $4::uuid[]) WITH ORDINALITY AS b (from_id, before_id, bucket)
        JOIN trunkline.events AS e
          ON e.lane = $1 AND e.tenant_id = $2 AND e.event_id >= b.from_id AND e.event_id < b.before_id
         AND e.event_id >= $7 AND e.event_id < $8
        WHERE ($5::text IS NULL OR e.type = $5)
          AND ($6::uuid IS NULL OR EXISTS (
              SELECT FROM trunkline.deliveries AS d
              WHERE d.lane = $1 AND d.tenant_id = $2 AND d.event_id = e.event_id AND d.endpoint_id = $6
                AND d.event_id >= $7 AND d.event_id < $8
          ))
        GROUP BY GROUPING SETS ((b.bucket), ())
        "#,
        scope.lane.number(),
        scope.tenant_id.as_str(),
        scope.from,
        scope.before,
        scope.event_type.map(EventType::as_str),
        scope.endpoint_id.map(EndpointId::as_uuid),
        lowest,
        highest,
    )
    .fetch_all(connection)
    .await?)
}

/// Counts deliveries.
///
/// # Errors
/// When the database is not available, or it takes longer than the connection allows.
pub async fn deliveries(
    connection: &mut Connection,
    scope: Scope<'_>,
) -> Result<Vec<DeliveryCounts>, StoreError> {
    let (lowest, highest) = scope.bounds();
    Ok(sqlx::query_as!(
        DeliveryCounts,
        r#"
        SELECT b.bucket AS "bucket?",
               count(*) FILTER (WHERE d.status = 'PENDING') AS "pending!",
               count(*) FILTER (WHERE d.status = 'DELIVERED') AS "delivered!",
               count(*) FILTER (WHERE d.status = 'FAILED') AS "failed!",
               count(*) FILTER (WHERE d.status = 'FAILED' AND d.due_at IS NULL) AS "dead!",
               count(*) FILTER (WHERE d.status = 'CANCELLED') AS "cancelled!"
        FROM unnest($3::uuid[], $4::uuid[]) WITH ORDINALITY AS b (from_id, before_id, bucket)
        JOIN trunkline.deliveries AS d
          ON d.lane = $1 AND d.tenant_id = $2 AND d.event_id >= b.from_id AND d.event_id < b.before_id
         AND d.event_id >= $7 AND d.event_id < $8
        WHERE ($5::text IS NULL OR EXISTS (
              SELECT FROM trunkline.events AS e
              WHERE e.lane = $1 AND e.tenant_id = $2 AND e.event_id = d.event_id AND e.type = $5
                AND e.event_id >= $7 AND e.event_id < $8
          ))
          AND ($6::uuid IS NULL OR d.endpoint_id = $6)
        GROUP BY GROUPING SETS ((b.bucket), ())
        "#,
        scope.lane.number(),
        scope.tenant_id.as_str(),
        scope.from,
        scope.before,
        scope.event_type.map(EventType::as_str),
        scope.endpoint_id.map(EndpointId::as_uuid),
        lowest,
        highest,
    )
    .fetch_all(connection)
    .await?)
}

/// Counts attempts.
///
/// # Errors
/// When the database is not available, or it takes longer than the connection allows.
pub async fn attempts(
    connection: &mut Connection,
    scope: Scope<'_>,
) -> Result<Vec<AttemptCount>, StoreError> {
    let (lowest, highest) = scope.bounds();
    Ok(sqlx::query_as!(
        AttemptCount,
        r#"
        SELECT b.bucket AS "bucket?", a.outcome::text AS "outcome!", count(*) AS "attempts!"
        FROM unnest($3::uuid[], $4::uuid[]) WITH ORDINALITY AS b (from_id, before_id, bucket)
        JOIN trunkline.attempts AS a
          ON a.lane = $1 AND a.tenant_id = $2 AND a.event_id >= b.from_id AND a.event_id < b.before_id
         AND a.event_id >= $7 AND a.event_id < $8
        WHERE ($5::text IS NULL OR EXISTS (
              SELECT FROM trunkline.events AS e
              WHERE e.lane = $1 AND e.tenant_id = $2 AND e.event_id = a.event_id AND e.type = $5
                AND e.event_id >= $7 AND e.event_id < $8
          ))
          AND ($6::uuid IS NULL OR a.endpoint_id = $6)
        GROUP BY GROUPING SETS ((b.bucket, a.outcome), (a.outcome))
        "#,
        scope.lane.number(),
        scope.tenant_id.as_str(),
        scope.from,
        scope.before,
        scope.event_type.map(EventType::as_str),
        scope.endpoint_id.map(EndpointId::as_uuid),
        lowest,
        highest,
    )
    .fetch_all(connection)
    .await?)
}

/// Tells how long attempts took. Those that nobody knows the end of are left out.
///
/// # Errors
/// When the database is not available, or it takes longer than the connection allows.
pub async fn latencies(connection: &mut Connection, scope: Scope<'_>) -> Result<Vec<Latency>, StoreError> {
    let (lowest, highest) = scope.bounds();
    Ok(sqlx::query_as!(
        Latency,
        r#"
        SELECT b.bucket AS "bucket?",
               coalesce(percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY a.duration_ms), '{}')
                   AS "percentiles_ms!"
        FROM unnest($3::uuid[], $4::uuid[]) WITH ORDINALITY AS b (from_id, before_id, bucket)
        JOIN trunkline.attempts AS a
          ON a.lane = $1 AND a.tenant_id = $2 AND a.event_id >= b.from_id AND a.event_id < b.before_id
         AND a.event_id >= $7 AND a.event_id < $8
        WHERE a.duration_ms IS NOT NULL
          AND ($5::text IS NULL OR EXISTS (
              SELECT FROM trunkline.events AS e
              WHERE e.lane = $1 AND e.tenant_id = $2 AND e.event_id = a.event_id AND e.type = $5
                AND e.event_id >= $7 AND e.event_id < $8
          ))
          AND ($6::uuid IS NULL OR a.endpoint_id = $6)
        GROUP BY GROUPING SETS ((b.bucket), ())
        "#,
        scope.lane.number(),
        scope.tenant_id.as_str(),
        scope.from,
        scope.before,
        scope.event_type.map(EventType::as_str),
        scope.endpoint_id.map(EndpointId::as_uuid),
        lowest,
        highest,
    )
    .fetch_all(connection)
    .await?)
}
