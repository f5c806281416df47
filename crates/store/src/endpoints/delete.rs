use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, TenantId};

use crate::wake::note_changed;
use crate::{Connection, StoreError};

/// Deletes an endpoint: nothing new comes, nothing is attempted, its secrets are removed, its name is free again; history keeps naming
/// it. `false` if there is no such endpoint. Its open deliveries are cancelled afterwards
/// ([`crate::deliveries::cancel_of_deleted`]): of those there may be any number.
///
/// # Errors
/// When the database is not available.
pub async fn delete(
    connection: &mut Connection,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut transaction = connection.begin().await?;
    if !mark_deleted(&mut transaction, tenant_id, endpoint_id, now).await? {
        return Ok(false);
    }
    remove_secrets(&mut transaction, tenant_id, endpoint_id).await?;
    note_changed(&mut transaction, tenant_id).await?;
    transaction.commit().await?;
    Ok(true)
}

async fn mark_deleted(
    connection: &mut Connection,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        r#"
        UPDATE trunkline.endpoints AS e
        SET enabled = false, disabled_reason = 'manual', deleted_at = $3, updated_at = $3,
            -- Names stay, because history shows them; values may be credentials.
            custom_headers = (
                SELECT coalesce(jsonb_object_agg(name, ''), '{}')
                FROM jsonb_object_keys(e.custom_headers) AS name
            )
        WHERE tenant_id = $1 AND endpoint_id = $2 AND deleted_at IS NULL
        "#,
        tenant_id.as_str(),
        endpoint_id.as_uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

async fn remove_secrets(
    connection: &mut Connection,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
) -> Result<(), StoreError> {
    sqlx::query!(
        "DELETE FROM trunkline.endpoint_secrets WHERE tenant_id = $1 AND endpoint_id = $2",
        tenant_id.as_str(),
        endpoint_id.as_uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
