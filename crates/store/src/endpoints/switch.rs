use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, TenantId};

use crate::wake::note_changed;
use crate::{Connection, StoreError};

/// Enables an endpoint and forgets its failures: events match it from now on, and what waited is attempted. Returns `false` if there
/// is none.
///
/// # Errors
/// When the database is not available.
pub async fn enable(
    connection: &mut Connection,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        r#"
        UPDATE trunkline.endpoints
        SET enabled = true, disabled_reason = NULL, failing_since = NULL, failures = 0, breaker_open_until = NULL,
            updated_at = $3
        WHERE tenant_id = $1 AND endpoint_id = $2 AND deleted_at IS NULL
        "#,
        tenant_id.as_str(),
        endpoint_id.as_uuid(),
        now,
    )
    .execute(&mut *connection)
    .await?;
    note_changed(connection, tenant_id).await?;
    Ok(done.rows_affected() > 0)
}

/// Disables an endpoint by hand; one that was disabled before keeps its reason. Returns `false` if there is none.
///
/// # Errors
/// When the database is not available.
pub async fn disable(
    connection: &mut Connection,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        r#"
        UPDATE trunkline.endpoints
        SET enabled = false, disabled_reason = coalesce(disabled_reason, 'manual'), updated_at = $3
        WHERE tenant_id = $1 AND endpoint_id = $2 AND deleted_at IS NULL
        "#,
        tenant_id.as_str(),
        endpoint_id.as_uuid(),
        now,
    )
    .execute(&mut *connection)
    .await?;
    note_changed(connection, tenant_id).await?;
    Ok(done.rows_affected() > 0)
}

/// Pauses or resumes an endpoint by hand. Returns `false` if there is none.
///
/// # Errors
/// When the database is not available.
pub async fn set_paused(
    connection: &mut Connection,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
    paused: bool,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        r#"
        UPDATE trunkline.endpoints
        SET paused = $3, updated_at = $4
        WHERE tenant_id = $1 AND endpoint_id = $2 AND deleted_at IS NULL
        "#,
        tenant_id.as_str(),
        endpoint_id.as_uuid(),
        paused,
        now,
    )
    .execute(&mut *connection)
    .await?;
    note_changed(connection, tenant_id).await?;
    Ok(done.rows_affected() > 0)
}
