use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection};
use trunkline_domain::{EndpointId, TenantId};

use super::{NewSecret, add_secret};
use crate::StoreError;

/// An endpoint to be added to a tenant that exists.
#[derive(Debug, Clone, Copy)]
pub struct NewEndpoint<'a> {
    /// Whose it is.
    pub tenant_id: &'a TenantId,
    /// UUID version 7.
    pub endpoint_id: EndpointId,
    /// 1 to 100 characters, unique among the tenant's endpoints.
    pub name: &'a str,
    /// Checked and canonical.
    pub url: &'a str,
    /// What its deliveries are signed with.
    pub secret: NewSecret<'a>,
    /// Now, by the database's clock.
    pub created_at: DateTime<Utc>,
}

/// Adds an endpoint with its secret in one transaction: events published from then on go to it too. Returns `false`, and
/// changes nothing, if the tenant does not exist, was deleted, or has an endpoint of that name.
///
/// # Errors
/// When the database is not available.
pub async fn create(connection: &mut PgConnection, new: &NewEndpoint<'_>) -> Result<bool, StoreError> {
    let mut transaction = connection.begin().await?;
    if !insert(&mut transaction, new).await? {
        return Ok(false);
    }
    add_secret(&mut transaction, new.tenant_id, new.endpoint_id, &new.secret, new.created_at).await?;
    transaction.commit().await?;
    Ok(true)
}

async fn insert(connection: &mut PgConnection, new: &NewEndpoint<'_>) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        r#"
        INSERT INTO trunkline.endpoints (tenant_id, endpoint_id, lane, name, url, created_at, updated_at)
        SELECT tenant_id, $2, lane, $3, $4, $5, $5
        FROM trunkline.tenants
        WHERE tenant_id = $1 AND status <> 'DELETED'
        ON CONFLICT (tenant_id, name) WHERE deleted_at IS NULL DO NOTHING
        "#,
        new.tenant_id.as_str(),
        new.endpoint_id.as_uuid(),
        new.name,
        new.url,
        new.created_at,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}
