use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, Lane, TenantId};

use super::DEFAULT_ENDPOINT;
use crate::api_keys::NewKey;
use crate::endpoints::NewSecret;
use crate::{Connection, StoreError, api_keys, endpoints, row};

/// A tenant to be created with everything it needs to publish and be delivered to.
pub struct NewTenant<'a> {
    /// Never used before.
    pub tenant_id: &'a TenantId,
    /// Its `default` endpoint.
    pub endpoint_id: EndpointId,
    /// Checked and canonical.
    pub url: &'a str,
    /// What that endpoint's deliveries are signed with.
    pub secret: NewSecret<'a>,
    /// Its first API key.
    pub key: NewKey<'a>,
    /// Now, by the database's clock.
    pub created_at: DateTime<Utc>,
}

/// Creates a tenant, its endpoint, secret and key in one transaction. Returns `false`, and changes nothing, if the id
/// was ever given before.
///
/// # Errors
/// When the database is not available.
pub async fn create(connection: &mut Connection, new: &NewTenant<'_>) -> Result<bool, StoreError> {
    let mut transaction = connection.begin().await?;
    let Some(lane) = insert(&mut transaction, new).await? else {
        return Ok(false);
    };
    insert_default_endpoint(&mut transaction, new, lane).await?;
    endpoints::add_secret(&mut transaction, new.tenant_id, new.endpoint_id, &new.secret, new.created_at)
        .await?;
    api_keys::create(&mut transaction, new.tenant_id, &new.key, new.created_at).await?;
    transaction.commit().await?;
    Ok(true)
}

async fn insert(connection: &mut Connection, new: &NewTenant<'_>) -> Result<Option<Lane>, StoreError> {
    // The lane with the fewest tenants; among equals by chance, so that creators at one time spread out.
    let number = sqlx::query_scalar!(
        r#"
        INSERT INTO trunkline.tenants (tenant_id, lane, created_at, updated_at)
        SELECT $1, l.lane, $2, $2
        FROM trunkline.lanes AS l
        LEFT JOIN trunkline.tenants AS t ON t.lane = l.lane
        GROUP BY l.lane
        ORDER BY count(t.lane), random()
        LIMIT 1
        ON CONFLICT (tenant_id) DO NOTHING
        RETURNING lane
        "#,
        new.tenant_id.as_str(),
        new.created_at,
    )
    .fetch_optional(connection)
    .await?;
    number.map(|number| row::lane("tenants", number, new.tenant_id)).transpose()
}

async fn insert_default_endpoint(
    connection: &mut Connection,
    new: &NewTenant<'_>,
    lane: Lane,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        INSERT INTO trunkline.endpoints (tenant_id, endpoint_id, lane, name, url, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $6)
        "#,
        new.tenant_id.as_str(),
        new.endpoint_id.as_uuid(),
        lane.number(),
        DEFAULT_ENDPOINT,
        new.url,
        new.created_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}
