use trunkline_domain::TenantId;

use crate::{Connection, StoreError};

/// Holds a tenant's row until the transaction ends, so that whoever counts what it has counts alone. Returns `false` if it
/// does not exist or is deleted.
///
/// # Errors
/// When the database is not available.
pub(crate) async fn hold(connection: &mut Connection, tenant_id: &TenantId) -> Result<bool, StoreError> {
    // Weaker than FOR UPDATE, so that rows that refer to the tenant can be added meanwhile.
    let found = sqlx::query_scalar!(
        r#"
        SELECT true AS "found!"
        FROM trunkline.tenants
        WHERE tenant_id = $1 AND status <> 'DELETED'
        FOR NO KEY UPDATE
        "#,
        tenant_id.as_str(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.unwrap_or(false))
}
