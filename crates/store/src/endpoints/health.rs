use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use trunkline_domain::{EndpointId, TenantId};
use uuid::Uuid;

use crate::StoreError;

/// Lets an endpoint's deliveries wait until `until`; a longer pause stays.
///
/// # Errors
/// When the database is not available.
pub async fn pause(
    connection: &mut PgConnection,
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
    connection: &mut PgConnection,
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

/// Notes which endpoints began to fail, and which work again. Call it only with endpoints whose state changed.
///
/// # Errors
/// When the database is not available.
pub async fn note_health(
    connection: &mut PgConnection,
    changed: &[(TenantId, EndpointId, bool)],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let tenants: Vec<String> = changed.iter().map(|(tenant, _, _)| tenant.to_string()).collect();
    let endpoints: Vec<Uuid> = changed.iter().map(|(_, endpoint, _)| endpoint.as_uuid()).collect();
    let failing: Vec<bool> = changed.iter().map(|(_, _, failing)| *failing).collect();
    sqlx::query!(
        r#"
        UPDATE trunkline.endpoints AS e
        SET failing_since = CASE WHEN c.failing THEN $4::timestamptz END
        FROM unnest($1::text[], $2::uuid[], $3::boolean[]) AS c (tenant_id, endpoint_id, failing)
        WHERE e.tenant_id = c.tenant_id AND e.endpoint_id = c.endpoint_id
          AND (e.failing_since IS NOT NULL) <> c.failing
        "#,
        &tenants,
        &endpoints,
        &failing,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}
