use std::collections::HashSet;

use trunkline_domain::{EndpointId, TenantId};
use uuid::Uuid;

use crate::{Connection, StoreError};

/// Locks the rows of these endpoints that nobody else holds, until the transaction ends: what it writes to them waits for nobody.
/// Returns those that somebody holds.
///
/// # Errors
/// When the database is not available.
pub async fn lock_free(
    connection: &mut Connection,
    endpoints: &[(TenantId, EndpointId)],
) -> Result<HashSet<EndpointId>, StoreError> {
    let tenants: Vec<&str> = endpoints.iter().map(|(tenant_id, _)| tenant_id.as_str()).collect();
    let ids: Vec<Uuid> = endpoints.iter().map(|(_, endpoint_id)| endpoint_id.as_uuid()).collect();
    let held = sqlx::query_scalar!(
        r#"
        WITH free AS MATERIALIZED (
            SELECT e.tenant_id, e.endpoint_id
            FROM unnest($1::text[], $2::uuid[]) AS n (tenant_id, endpoint_id)
            JOIN trunkline.endpoints AS e USING (tenant_id, endpoint_id)
            FOR NO KEY UPDATE OF e SKIP LOCKED
        )
        SELECT e.endpoint_id
        FROM unnest($1::text[], $2::uuid[]) AS n (tenant_id, endpoint_id)
        JOIN trunkline.endpoints AS e USING (tenant_id, endpoint_id)
        LEFT JOIN free AS f USING (tenant_id, endpoint_id)
        WHERE f.endpoint_id IS NULL
        "#,
        &tenants as _,
        &ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(held.into_iter().map(EndpointId::from).collect())
}
