use std::time::Duration;

use chrono::{DateTime, Utc};
use trunkline_domain::endpoint::Ordering;
use trunkline_domain::{EndpointId, EndpointSettings, TenantId};
use uuid::Uuid;

use crate::{Connection, StoreError, row};

/// An endpoint as its tenant sees it.
#[derive(Debug, Clone)]
pub struct EndpointDetail {
    /// Its id.
    pub endpoint_id: EndpointId,
    /// What the tenant chose.
    pub settings: EndpointSettings,
    /// Whether new events match it and its deliveries are attempted.
    pub enabled: bool,
    /// `manual`, `gone` or `failing`; set where it is not enabled.
    pub disabled_reason: Option<String>,
    /// By hand: its deliveries wait.
    pub paused: bool,
    /// Because of a Retry-After: its deliveries wait until then.
    pub paused_until: Option<DateTime<Utc>>,
    /// Whether it gets what Trunkline has to tell the tenant, and no other events.
    pub operational: bool,
    /// The first failure since the last success.
    pub failing_since: Option<DateTime<Utc>>,
    /// Until when its circuit breaker keeps it from being called.
    pub breaker_open_until: Option<DateTime<Utc>>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When a person changed it last.
    pub updated_at: DateTime<Utc>,
}

/// One endpoint; `None` if there is none, or it was deleted.
///
/// # Errors
/// When the database is not available.
pub async fn find(
    connection: &mut Connection,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
) -> Result<Option<EndpointDetail>, StoreError> {
    let found = page(connection, tenant_id, Some(endpoint_id.as_uuid()), Uuid::max(), 1).await?;
    Ok(found.into_iter().next())
}

/// The endpoints with ids below `before`, newest first, at most `limit`.
///
/// # Errors
/// When the database is not available.
pub async fn list(
    connection: &mut Connection,
    tenant_id: &TenantId,
    before: Uuid,
    limit: i64,
) -> Result<Vec<EndpointDetail>, StoreError> {
    page(connection, tenant_id, None, before, limit).await
}

/// The id of the endpoint that gets what Trunkline has to tell the tenant, if there is one.
///
/// # Errors
/// When the database is not available.
pub async fn find_operational(
    connection: &mut Connection,
    tenant_id: &TenantId,
) -> Result<Option<EndpointId>, StoreError> {
    let found = sqlx::query_scalar!(
        r#"
        SELECT endpoint_id
        FROM trunkline.endpoints
        WHERE tenant_id = $1 AND operational AND deleted_at IS NULL
        "#,
        tenant_id.as_str(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(EndpointId::from))
}

async fn page(
    connection: &mut Connection,
    tenant_id: &TenantId,
    only: Option<Uuid>,
    before: Uuid,
    limit: i64,
) -> Result<Vec<EndpointDetail>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        SELECT e.endpoint_id, e.name, e.url, e.description,
               m.keys AS "metadata_keys!", m.contents AS "metadata_values!", e.event_types, e.payload_filter,
               h.keys AS "header_names!", h.contents AS "header_values!", e.timeout_ms, e.retry_schedule_ms,
               e.rate_per_second, e.in_flight_max, e.ordered, e.ordering_blocks, e.enabled, e.disabled_reason, e.paused,
               e.paused_until, e.operational, e.failing_since, e.breaker_open_until, e.created_at, e.updated_at
        FROM trunkline.endpoints AS e
        CROSS JOIN LATERAL (
            SELECT coalesce(array_agg(key), '{}') AS keys, coalesce(array_agg(value), '{}') AS contents
            FROM jsonb_each_text(e.metadata)
        ) AS m
        CROSS JOIN LATERAL (
            SELECT coalesce(array_agg(key), '{}') AS keys, coalesce(array_agg(value), '{}') AS contents
            FROM jsonb_each_text(e.custom_headers)
        ) AS h
        WHERE e.tenant_id = $1 AND e.deleted_at IS NULL AND e.endpoint_id < $2
          AND ($3::uuid IS NULL OR e.endpoint_id = $3)
        ORDER BY e.endpoint_id DESC
        LIMIT $4
        "#,
        tenant_id.as_str(),
        before,
        only,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(EndpointDetail::from).collect())
}

struct Row {
    endpoint_id: Uuid,
    name: String,
    url: String,
    description: Option<String>,
    metadata_keys: Vec<String>,
    metadata_values: Vec<String>,
    event_types: Option<Vec<String>>,
    payload_filter: Option<String>,
    header_names: Vec<String>,
    header_values: Vec<String>,
    timeout_ms: Option<i32>,
    retry_schedule_ms: Option<Vec<i64>>,
    rate_per_second: Option<i32>,
    in_flight_max: Option<i32>,
    ordered: bool,
    ordering_blocks: bool,
    enabled: bool,
    disabled_reason: Option<String>,
    paused: bool,
    paused_until: Option<DateTime<Utc>>,
    operational: bool,
    failing_since: Option<DateTime<Utc>>,
    breaker_open_until: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Row> for EndpointDetail {
    fn from(found: Row) -> Self {
        let millis = |count: i64| Duration::from_millis(count.max(0).unsigned_abs());
        let settings = EndpointSettings {
            name: found.name,
            url: found.url,
            description: found.description,
            metadata: found.metadata_keys.into_iter().zip(found.metadata_values).collect(),
            event_types: found.event_types,
            payload_filter: found.payload_filter,
            custom_headers: found.header_names.into_iter().zip(found.header_values).collect(),
            timeout: found.timeout_ms.map(|count| millis(count.into())),
            retry_schedule: found.retry_schedule_ms.map(|waits| waits.into_iter().map(millis).collect()),
            rate_per_second: found.rate_per_second.map(row::unsigned),
            in_flight_max: found.in_flight_max.map(row::unsigned),
            ordering: match (found.ordered, found.ordering_blocks) {
                (false, _) => Ordering::None,
                (true, false) => Ordering::Skip,
                (true, true) => Ordering::Block,
            },
        };
        Self {
            endpoint_id: EndpointId::from(found.endpoint_id),
            settings,
            enabled: found.enabled,
            disabled_reason: found.disabled_reason,
            paused: found.paused,
            paused_until: found.paused_until,
            operational: found.operational,
            failing_since: found.failing_since,
            breaker_open_until: found.breaker_open_until,
            created_at: found.created_at,
            updated_at: found.updated_at,
        }
    }
}
