use chrono::{DateTime, Utc};
use trunkline_domain::TenantId;

use crate::{Connection, StoreError};

/// Stands for all tenants in the table.
const ALL: &str = "*";

/// How the switches stand for one tenant, or for all (`tenant` is on then).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reception {
    /// The tenant's own switch; without a row it is on.
    pub tenant: bool,
    /// The switch of all tenants.
    pub all: bool,
}

/// How the switches stand for a tenant, or for all if `tenant_id` is `None`.
///
/// # Errors
/// When the database is not available.
pub async fn reception(
    connection: &mut Connection,
    tenant_id: Option<&TenantId>,
) -> Result<Reception, StoreError> {
    let found = sqlx::query!(
        r#"
        SELECT coalesce(bool_and(enabled) FILTER (WHERE scope = $1), true) AS "tenant!",
               coalesce(bool_and(enabled) FILTER (WHERE scope = $2), true) AS "all!"
        FROM trunkline.receptions
        WHERE scope IN ($1, $2)
        "#,
        tenant_id.map(TenantId::as_str),
        ALL,
    )
    .fetch_one(connection)
    .await?;
    Ok(Reception { tenant: found.tenant, all: found.all })
}

/// Switches one tenant on or off.
///
/// # Errors
/// When the database is not available.
pub async fn switch_tenant(
    connection: &mut Connection,
    tenant_id: &TenantId,
    enabled: bool,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    switch(connection, tenant_id.as_str(), enabled, now).await
}

/// Switches all tenants on or off at once; their own switches stay as they are.
///
/// # Errors
/// When the database is not available.
pub async fn switch_all(
    connection: &mut Connection,
    enabled: bool,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    switch(connection, ALL, enabled, now).await
}

async fn switch(
    connection: &mut Connection,
    scope: &str,
    enabled: bool,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        INSERT INTO trunkline.receptions (scope, enabled, updated_at)
        VALUES ($1, $2, $3)
        ON CONFLICT (scope) DO UPDATE SET enabled = EXCLUDED.enabled, updated_at = EXCLUDED.updated_at
        "#,
        scope,
        enabled,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}
