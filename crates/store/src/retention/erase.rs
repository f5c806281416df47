use trunkline_domain::{Lane, TenantId};
use uuid::Uuid;

use crate::{Connection, StoreError, row};

/// Tenants and types with a retention of their own that are looked at in one go.
pub const SCOPES_MAX: i64 = 10_000;

/// What has a retention of its own: all events of a tenant, or those of a type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Whose.
    pub tenant_id: TenantId,
    /// Its lane.
    pub lane: Lane,
    /// Only those of this type; `None` = all.
    pub event_type: Option<String>,
    /// How long they are kept.
    pub days: i32,
    /// Ids below this are past it.
    pub kept_from: Uuid,
}

/// A step of erasing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased {
    /// Events that are gone, with everything of theirs.
    pub events: usize,
    /// The last event looked at; `None` = there are no more.
    pub last: Option<Uuid>,
    /// The first that stays, because a delivery of it has not come to its end.
    pub first_open: Option<Uuid>,
}

/// What has a retention of its own: at most `limit`, by tenant and type, from behind `after` on and round to it again.
///
/// # Errors
/// When the database is not available.
pub async fn scopes(
    connection: &mut Connection,
    after: Option<(&TenantId, Option<&str>)>,
    limit: i64,
) -> Result<Vec<Scope>, StoreError> {
    let (tenant_id, event_type) =
        after.map_or(("", ""), |(tenant_id, of)| (tenant_id.as_str(), of.unwrap_or("")));
    let rows = sqlx::query!(
        r#"
        SELECT s.tenant_id AS "tenant_id!", s.lane AS "lane!", s.type AS "event_type?", s.days AS "days!",
               trunkline.uuid_v7_floor(now() - make_interval(days => s.days)) AS "kept_from!"
        FROM (
            SELECT tenant_id, lane, NULL AS type, retention_days AS days
            FROM trunkline.tenants
            WHERE retention_days IS NOT NULL
            UNION ALL
            SELECT y.tenant_id, t.lane, y.type, y.retention_days
            FROM trunkline.event_types AS y
            JOIN trunkline.tenants AS t USING (tenant_id)
            WHERE y.retention_days IS NOT NULL
        ) AS s
        ORDER BY (s.tenant_id, coalesce(s.type, '')) <= ($1::text, $2::text), s.tenant_id, coalesce(s.type, '')
        LIMIT $3
        "#,
        tenant_id,
        event_type,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|found| {
            Ok(Scope {
                lane: row::lane("tenants", found.lane, &found.tenant_id)?,
                tenant_id: row::tenant_id("tenants", found.tenant_id)?,
                event_type: found.event_type,
                days: found.days,
                kept_from: found.kept_from,
            })
        })
        .collect()
}

/// Looks at the next `limit` events of a scope that are past its retention, from the id `from` on, and erases those of which every
/// delivery has come to its end: event, payload, deliveries and attempts, in one transaction.
///
/// # Errors
/// When the database is not available.
pub async fn erase(
    connection: &mut Connection,
    scope: &Scope,
    from: Uuid,
    limit: i64,
) -> Result<Erased, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT e.event_id, ($6::text IS NULL OR e.type IS NOT DISTINCT FROM $6) AS "concerned!", EXISTS (
            SELECT FROM trunkline.deliveries
            WHERE lane = $1 AND tenant_id = $2 AND event_id = e.event_id AND event_id >= $3 AND event_id < $4
              AND finished_at IS NULL
        ) AS "open!"
        FROM trunkline.events AS e
        WHERE e.lane = $1 AND e.tenant_id = $2 AND e.event_id >= $3 AND e.event_id < $4
        ORDER BY e.event_id
        LIMIT $5
        "#,
        scope.lane.number(),
        scope.tenant_id.as_str(),
        from,
        scope.kept_from,
        limit,
        scope.event_type,
    )
    .fetch_all(&mut *connection)
    .await?;
    let ids: Vec<Uuid> =
        rows.iter().filter(|row| row.concerned && !row.open).map(|row| row.event_id).collect();
    let erased = Erased {
        events: ids.len(),
        last: rows.last().map(|row| row.event_id),
        first_open: rows.iter().find(|row| row.concerned && row.open).map(|row| row.event_id),
    };
    if !ids.is_empty() {
        remove(connection, scope, &ids).await?;
    }
    Ok(erased)
}

async fn remove(connection: &mut Connection, scope: &Scope, ids: &[Uuid]) -> Result<(), StoreError> {
    let (lane, tenant_id) = (scope.lane.number(), scope.tenant_id.as_str());
    // The range prunes partitions; ids are in their order.
    let (first, last) = (ids.first().copied().unwrap_or_default(), ids.last().copied().unwrap_or_default());
    let mut transaction = connection.begin().await?;
    // The payload first: without it nobody can open a delivery again.
    sqlx::query!(
        "DELETE FROM trunkline.payloads WHERE lane = $1 AND tenant_id = $2 AND event_id = ANY($3) AND event_id BETWEEN $4 AND $5",
        lane,
        tenant_id,
        ids,
        first,
        last,
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!(
        "DELETE FROM trunkline.attempts WHERE lane = $1 AND tenant_id = $2 AND event_id = ANY($3) AND event_id BETWEEN $4 AND $5",
        lane,
        tenant_id,
        ids,
        first,
        last,
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!(
        "DELETE FROM trunkline.deliveries WHERE lane = $1 AND tenant_id = $2 AND event_id = ANY($3) AND event_id BETWEEN $4 AND $5",
        lane,
        tenant_id,
        ids,
        first,
        last,
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!(
        "DELETE FROM trunkline.events WHERE lane = $1 AND tenant_id = $2 AND event_id = ANY($3) AND event_id BETWEEN $4 AND $5",
        lane,
        tenant_id,
        ids,
        first,
        last,
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}
