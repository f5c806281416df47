use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, TenantId};
use uuid::Uuid;

use crate::{Connection, StoreError, row};

/// Lets an endpoint's deliveries wait until `until`; a longer pause stays.
///
/// # Errors
/// When the database is not available.
pub async fn pause(
    connection: &mut Connection,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
    until: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        UPDATE trunkline.endpoints
        SET paused_until = $3
        WHERE tenant_id = $1 AND endpoint_id = $2 AND (paused_until IS NULL OR paused_until < $3)
        "#,
        tenant_id.as_str(),
        endpoint_id.as_uuid(),
        until,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Disables an endpoint that answered 410. Returns `false` if it was disabled before.
///
/// # Errors
/// When the database is not available.
pub async fn disable_gone(
    connection: &mut Connection,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
) -> Result<bool, StoreError> {
    let changed = sqlx::query!(
        r#"
        UPDATE trunkline.endpoints
        SET enabled = false, disabled_reason = 'gone'
        WHERE tenant_id = $1 AND endpoint_id = $2 AND enabled
        "#,
        tenant_id.as_str(),
        endpoint_id.as_uuid(),
    )
    .execute(connection)
    .await?;
    Ok(changed.rows_affected() > 0)
}

/// How an endpoint has fared since that was last written.
#[derive(Debug, Clone)]
pub struct Health {
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// Whether its last attempt failed.
    pub is_failing: bool,
    /// It succeeded since it began to fail by its row, and fails again: count from here.
    pub is_afresh: bool,
    /// Failures by its own fault that are not counted in its row yet; a success takes all of them back.
    pub failures: u32,
}

/// Notes which endpoints began to fail, which work again, and how often they failed. Call it with endpoints whose state
/// changed, and now and then with those that go on failing.
///
/// # Errors
/// When the database is not available.
pub async fn note_health(
    connection: &mut Connection,
    changed: &[Health],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let tenants: Vec<&str> = changed.iter().map(|one| one.tenant_id.as_str()).collect();
    let endpoints: Vec<Uuid> = changed.iter().map(|one| one.endpoint_id.as_uuid()).collect();
    let failing: Vec<bool> = changed.iter().map(|one| one.is_failing).collect();
    let afresh: Vec<bool> = changed.iter().map(|one| one.is_afresh).collect();
    let failures: Vec<i32> =
        changed.iter().map(|one| i32::try_from(one.failures).unwrap_or(i32::MAX)).collect();
    sqlx::query!(
        r#"
        UPDATE trunkline.endpoints AS e
        SET failing_since = CASE
                WHEN c.failing AND c.afresh THEN $6::timestamptz
                WHEN c.failing THEN coalesce(e.failing_since, $6::timestamptz)
            END,
            failures = CASE
                WHEN c.failing AND (c.afresh OR e.failing_since IS NULL) THEN c.failures
                WHEN c.failing THEN least(e.failures::bigint + c.failures, 2147483647)::integer
                ELSE 0
            END
        FROM unnest($1::text[], $2::uuid[], $3::boolean[], $4::boolean[], $5::integer[])
             AS c (tenant_id, endpoint_id, failing, afresh, failures)
        WHERE e.tenant_id = c.tenant_id AND e.endpoint_id = c.endpoint_id
          AND ((e.failing_since IS NOT NULL) <> c.failing OR (c.failing AND c.failures > 0))
        "#,
        &tenants as _,
        &endpoints,
        &failing,
        &afresh,
        &failures,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// An endpoint that was disabled because it failed for too long.
#[derive(Debug, Clone)]
pub struct DisabledFailing {
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// The first failure since its last success.
    pub failing_since: DateTime<Utc>,
    /// How often it has failed since.
    pub failures: u32,
}

/// Disables endpoints that failed at least `failures_min` times since before `failing_before`, without one success; at most
/// `limit`. Each is returned to one caller only.
///
/// # Errors
/// When the database is not available.
pub async fn disable_failing(
    connection: &mut Connection,
    failing_before: DateTime<Utc>,
    failures_min: u32,
    limit: i64,
) -> Result<Vec<DisabledFailing>, StoreError> {
    let rows = sqlx::query!(
        r#"
        UPDATE trunkline.endpoints AS e
        SET enabled = false, disabled_reason = 'failing'
        FROM (
            SELECT tenant_id, endpoint_id
            FROM trunkline.endpoints
            WHERE failing_since IS NOT NULL AND enabled AND failing_since < $1 AND failures >= $2 AND deleted_at IS NULL
            LIMIT $3
            FOR UPDATE SKIP LOCKED
        ) AS tired
        WHERE e.tenant_id = tired.tenant_id AND e.endpoint_id = tired.endpoint_id
        RETURNING e.tenant_id, e.endpoint_id, e.failing_since AS "failing_since!", e.failures
        "#,
        failing_before,
        i32::try_from(failures_min).unwrap_or(i32::MAX),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|found| {
            Ok(DisabledFailing {
                tenant_id: row::tenant_id("endpoints", found.tenant_id)?,
                endpoint_id: EndpointId::from(found.endpoint_id),
                failing_since: found.failing_since,
                failures: row::unsigned(found.failures),
            })
        })
        .collect()
}
