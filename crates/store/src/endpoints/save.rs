use std::time::Duration;

use chrono::{DateTime, Utc};
use trunkline_domain::endpoint::Ordering;
use trunkline_domain::{EndpointId, EndpointSettings, TenantId};

use crate::wake::note_changed;
use crate::{Connection, StoreError};

/// What came of saving an endpoint's settings. Only [`Saved::Done`] changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// In effect for whatever is published from now on.
    Done,
    /// Another live endpoint of the tenant has the name.
    NameTaken,
    /// There is no such endpoint, or it was deleted.
    Gone,
}

/// Keeps everybody else from changing an endpoint until the transaction ends, so that what is read next can be changed and written
/// back whole. Returns `false` if there is none, or it was deleted.
///
/// # Errors
/// When the database is not available.
pub async fn lock(
    connection: &mut Connection,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
) -> Result<bool, StoreError> {
    let found = sqlx::query_scalar!(
        r#"
        SELECT true AS "found!"
        FROM trunkline.endpoints
        WHERE tenant_id = $1 AND endpoint_id = $2 AND deleted_at IS NULL
        FOR NO KEY UPDATE
        "#,
        tenant_id.as_str(),
        endpoint_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.unwrap_or(false))
}

/// Writes all settings of an endpoint.
///
/// # Errors
/// When the database is not available.
pub async fn save(
    connection: &mut Connection,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
    settings: &EndpointSettings,
    now: DateTime<Utc>,
) -> Result<Saved, StoreError> {
    match update(connection, tenant_id, endpoint_id, settings, now).await {
        Err(error) if is_name_taken(&error) => Ok(Saved::NameTaken),
        Ok(0) => Ok(Saved::Gone),
        done => done.map(|_| Saved::Done),
    }
}

async fn update(
    connection: &mut Connection,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
    settings: &EndpointSettings,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let columns = SettingColumns::of(settings);
    let done = sqlx::query!(
        r#"
        UPDATE trunkline.endpoints
        SET updated_at = $3, name = $4, url = $5, description = $6, metadata = jsonb_object($7::text[], $8::text[]),
            event_types = $9::text[], payload_filter = $10, custom_headers = jsonb_object($11::text[], $12::text[]),
            timeout_ms = $13, retry_schedule_ms = $14::bigint[], rate_per_second = $15, in_flight_max = $16,
            ordered = $17, ordering_blocks = $18
        WHERE tenant_id = $1 AND endpoint_id = $2 AND deleted_at IS NULL
        "#,
        tenant_id.as_str(),
        endpoint_id.as_uuid(),
        now,
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
    .execute(&mut *connection)
    .await?;
    note_changed(connection, tenant_id).await?;
    Ok(done.rows_affected())
}

/// The only UNIQUE constraints that saving can break are those of names.
pub(super) fn is_name_taken(error: &StoreError) -> bool {
    error.is_conflict()
}

/// Settings as the columns have them.
pub(super) struct SettingColumns<'a> {
    pub(super) metadata_keys: Vec<&'a str>,
    pub(super) metadata_values: Vec<&'a str>,
    pub(super) header_names: Vec<&'a str>,
    pub(super) header_values: Vec<&'a str>,
    pub(super) timeout_ms: Option<i32>,
    pub(super) retry_schedule_ms: Option<Vec<i64>>,
    pub(super) rate_per_second: Option<i32>,
    pub(super) in_flight_max: Option<i32>,
    pub(super) ordered: bool,
    pub(super) ordering_blocks: bool,
}

impl<'a> SettingColumns<'a> {
    pub(super) fn of(settings: &'a EndpointSettings) -> Self {
        // The rules of the domain keep every number far below these bounds.
        let integer = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let millis = |wait: &Duration| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        Self {
            metadata_keys: settings.metadata.keys().map(String::as_str).collect(),
            metadata_values: settings.metadata.values().map(String::as_str).collect(),
            header_names: settings.custom_headers.keys().map(String::as_str).collect(),
            header_values: settings.custom_headers.values().map(String::as_str).collect(),
            timeout_ms: settings
                .timeout
                .map(|timeout| i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)),
            retry_schedule_ms: settings
                .retry_schedule
                .as_ref()
                .map(|waits| waits.iter().map(millis).collect()),
            rate_per_second: settings.rate_per_second.map(integer),
            in_flight_max: settings.in_flight_max.map(integer),
            ordered: settings.ordering != Ordering::None,
            ordering_blocks: settings.ordering == Ordering::Block,
        }
    }
}
