use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, TenantId};

use super::{DEFAULT_ENDPOINT, TenantStatus};
use crate::endpoints::NewSecret;
use crate::wake::note_changed;
use crate::{Connection, StoreError, endpoints};

/// What to change of a tenant's `default` endpoint; `None` leaves it.
#[derive(Default)]
pub struct DefaultEndpointChange<'a> {
    /// Checked and canonical.
    pub url: Option<&'a str>,
    /// Replaces every earlier secret; those go on signing beside it until `old_secrets_valid_until`.
    pub secret: Option<NewSecret<'a>>,
    /// How long the overlap lasts.
    pub old_secrets_valid_until: Option<DateTime<Utc>>,
}

/// Changes address and secret of the endpoint `endpoint_id` in one transaction. Returns `false` if it is gone.
///
/// # Errors
/// When the database is not available.
pub async fn update_default_endpoint(
    connection: &mut Connection,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
    change: &DefaultEndpointChange<'_>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut transaction = connection.begin().await?;
    let found = sqlx::query_scalar!(
        r#"
        UPDATE trunkline.endpoints
        SET url = coalesce($3, url), updated_at = $4
        WHERE tenant_id = $1 AND endpoint_id = $2 AND name = $5 AND deleted_at IS NULL
        RETURNING true AS "found!"
        "#,
        tenant_id.as_str(),
        endpoint_id.as_uuid(),
        change.url,
        now,
        DEFAULT_ENDPOINT,
    )
    .fetch_optional(&mut *transaction)
    .await?
    .unwrap_or(false);
    if !found {
        return Ok(false);
    }
    if let Some(secret) = &change.secret {
        let until = change.old_secrets_valid_until.unwrap_or(now);
        endpoints::retire_secrets(&mut transaction, tenant_id, endpoint_id, until).await?;
        endpoints::add_secret(&mut transaction, tenant_id, endpoint_id, secret, now).await?;
    }
    sqlx::query!(
        "UPDATE trunkline.tenants SET updated_at = $2 WHERE tenant_id = $1",
        tenant_id.as_str(),
        now
    )
    .execute(&mut *transaction)
    .await?;
    note_changed(&mut transaction, tenant_id).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Suspends or resumes a tenant. Returns `false` if there is none, or it is deleted.
///
/// # Errors
/// When the database is not available.
pub async fn set_status(
    connection: &mut Connection,
    tenant_id: &TenantId,
    status: TenantStatus,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let changed = sqlx::query!(
        r#"
        UPDATE trunkline.tenants
        SET status = $2::text::trunkline.tenant_status, updated_at = $3
        WHERE tenant_id = $1 AND status <> 'DELETED'
        "#,
        tenant_id.as_str(),
        status.as_str(),
        now,
    )
    .execute(&mut *connection)
    .await?;
    note_changed(connection, tenant_id).await?;
    Ok(changed.rows_affected() > 0)
}

/// Keeps a tenant's events for so many days from now on, or with `None` for as long as the settings say. Returns `false` if there is
/// none, or it is deleted.
///
/// # Errors
/// When the database is not available.
pub async fn set_retention(
    connection: &mut Connection,
    tenant_id: &TenantId,
    days: Option<i32>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let changed = sqlx::query!(
        r#"
        UPDATE trunkline.tenants
        SET retention_days = $2, updated_at = $3
        WHERE tenant_id = $1 AND status <> 'DELETED'
        "#,
        tenant_id.as_str(),
        days,
        now,
    )
    .execute(connection)
    .await?;
    Ok(changed.rows_affected() > 0)
}

/// What a tenant may publish; of each, the outer `None` leaves it, the inner one stands for what the settings say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateChange {
    /// Events a second; 0 = no limit.
    pub rate_per_second: Option<Option<u32>>,
    /// Events at once, from 1.
    pub burst: Option<Option<u32>>,
}

/// Lets a tenant publish so much from now on. Returns `false` if there is none, or it is deleted.
///
/// # Errors
/// When the database is not available.
pub async fn set_rate(
    connection: &mut Connection,
    tenant_id: &TenantId,
    change: RateChange,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let integer =
        |number: Option<Option<u32>>| number.flatten().map(|it| i32::try_from(it).unwrap_or(i32::MAX));
    let changed = sqlx::query!(
        r#"
        UPDATE trunkline.tenants
        SET rate_per_second = CASE WHEN $2 THEN $3 ELSE rate_per_second END,
            burst = CASE WHEN $4 THEN $5 ELSE burst END,
            updated_at = $6
        WHERE tenant_id = $1 AND status <> 'DELETED'
        "#,
        tenant_id.as_str(),
        change.rate_per_second.is_some(),
        integer(change.rate_per_second),
        change.burst.is_some(),
        integer(change.burst),
        now,
    )
    .execute(connection)
    .await?;
    Ok(changed.rows_affected() > 0)
}
