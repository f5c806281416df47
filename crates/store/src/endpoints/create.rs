use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, EndpointSettings, TenantId};

use super::save::{SettingColumns, is_name_taken};
use super::{NewSecret, add_secret};
use crate::{Connection, StoreError};

/// Live endpoints of one tenant: every event published is held against each of them.
pub const ENDPOINTS_MAX: i64 = 1_000;

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

/// What came of adding an endpoint. Only [`Added::Done`] changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// Events published from now on go to it too.
    Done,
    /// The tenant has a live endpoint of that name, or an operational one where this was to be it.
    NameTaken,
    /// The tenant has [`ENDPOINTS_MAX`].
    TooMany,
    /// The tenant does not exist or was deleted.
    NoTenant,
}

/// Adds an endpoint that has a name and an address only, and every default. Returns `false`, and changes nothing, if the tenant
/// does not exist, was deleted, has an endpoint of that name or as many as it may.
///
/// # Errors
/// When the database is not available.
pub async fn create(connection: &mut Connection, new: &NewEndpoint<'_>) -> Result<bool, StoreError> {
    let settings = EndpointSettings {
        name: new.name.to_owned(),
        url: new.url.to_owned(),
        ..EndpointSettings::default()
    };
    Ok(add(connection, new, &settings, false).await? == Added::Done)
}

/// Adds an endpoint with all its settings and its secret in one transaction; name and address are the settings'.
///
/// # Errors
/// When the database is not available.
pub async fn add(
    connection: &mut Connection,
    new: &NewEndpoint<'_>,
    settings: &EndpointSettings,
    is_operational: bool,
) -> Result<Added, StoreError> {
    let mut transaction = connection.begin().await?;
    let Some(live) = count_alone(&mut transaction, new.tenant_id).await? else {
        return Ok(Added::NoTenant);
    };
    if live >= ENDPOINTS_MAX {
        return Ok(Added::TooMany);
    }
    match insert(&mut transaction, new, settings, is_operational).await {
        Err(error) if is_name_taken(&error) => return Ok(Added::NameTaken),
        other => other?,
    }
    add_secret(&mut transaction, new.tenant_id, new.endpoint_id, &new.secret, new.created_at).await?;
    transaction.commit().await?;
    Ok(Added::Done)
}

/// How many live endpoints the tenant has; whoever else would add one waits until the transaction ends. `None` without a tenant.
async fn count_alone(connection: &mut Connection, tenant_id: &TenantId) -> Result<Option<i64>, StoreError> {
    let found = sqlx::query_scalar!(
        r#"
        SELECT true AS "found!"
        FROM trunkline.tenants
        WHERE tenant_id = $1 AND status <> 'DELETED'
        -- Weak enough to let those pass who only refer to the tenant.
        FOR NO KEY UPDATE
        "#,
        tenant_id.as_str(),
    )
    .fetch_optional(&mut *connection)
    .await?;
    if found.is_none() {
        return Ok(None);
    }
    // A statement of its own: one that waited for the lock would count by what it saw before.
    let live = sqlx::query_scalar!(
        r#"SELECT count(*) AS "live!" FROM trunkline.endpoints WHERE tenant_id = $1 AND deleted_at IS NULL"#,
        tenant_id.as_str(),
    )
    .fetch_one(connection)
    .await?;
    Ok(Some(live))
}

async fn insert(
    connection: &mut Connection,
    new: &NewEndpoint<'_>,
    settings: &EndpointSettings,
    is_operational: bool,
) -> Result<(), StoreError> {
    let columns = SettingColumns::of(settings);
    sqlx::query!(
        r#"
        INSERT INTO trunkline.endpoints
            (tenant_id, endpoint_id, lane, operational, created_at, updated_at, name, url, description, metadata,
             event_types, payload_filter, custom_headers, timeout_ms, retry_schedule_ms, rate_per_second, in_flight_max,
             ordered, ordering_blocks)
        SELECT tenant_id, $2, lane, $3, $4, $4, $5, $6, $7, jsonb_object($8::text[], $9::text[]),
               $10::text[], $11, jsonb_object($12::text[], $13::text[]), $14::integer, $15::bigint[], $16::integer,
               $17::integer, $18, $19
        FROM trunkline.tenants
        WHERE tenant_id = $1
        "#,
        new.tenant_id.as_str(),
        new.endpoint_id.as_uuid(),
        is_operational,
        new.created_at,
        settings.name,
        settings.url,
        settings.description,
        &columns.metadata_keys as _,
        &columns.metadata_values as _,
        settings.event_types.as_deref() as _,
        settings.payload_filter,
        &columns.header_names as _,
        &columns.header_values as _,
        columns.timeout_ms,
        columns.retry_schedule_ms.as_deref() as _,
        columns.rate_per_second,
        columns.in_flight_max,
        columns.ordered,
        columns.ordering_blocks,
    )
    .execute(connection)
    .await?;
    Ok(())
}
