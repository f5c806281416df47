use std::time::Duration;

use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, TenantId};
use uuid::Uuid;

use super::SealedSecret;
use crate::tenants::TenantStatus;
use crate::{Connection, StoreError};

/// What a worker must know of an endpoint to call it, or to leave it alone.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its id.
    pub endpoint_id: EndpointId,
    /// Where deliveries go.
    pub url: String,
    /// Whether its deliveries are attempted at all: it is enabled and its tenant is active.
    pub is_open: bool,
    /// Its deliveries wait until it is resumed by hand.
    pub is_paused: bool,
    /// Until when its deliveries wait; in the past or `None` = they do not.
    pub paused_until: Option<DateTime<Utc>>,
    /// Whether its last attempt failed.
    pub is_failing: bool,
    /// Until when its breaker lets nothing through, as whoever served it last wrote down; in the past = a probe is next;
    /// `None` = it is closed.
    pub breaker_open_until: Option<DateTime<Utc>>,
    /// Its own deadline of an attempt.
    pub timeout: Option<Duration>,
    /// Its own waits between attempts.
    pub retry_schedule: Option<Vec<Duration>>,
    /// Its own bound on attempts at one time.
    pub in_flight_max: Option<u32>,
    /// Its own bound on attempts a second.
    pub rate_per_second: Option<u32>,
    /// Sent with every attempt: names, and values that are sealed unless they were written by hand.
    pub custom_headers: Vec<(String, String)>,
    /// The secrets to sign with, newest first.
    pub secrets: Vec<SealedSecret>,
}

/// Loads endpoints by id. Those that were deleted are missing from the answer.
///
/// # Errors
/// When the database is not available.
pub async fn load(
    connection: &mut Connection,
    endpoints: &[(TenantId, EndpointId)],
    now: DateTime<Utc>,
) -> Result<Vec<Endpoint>, StoreError> {
    let tenants: Vec<String> = endpoints.iter().map(|(tenant, _)| tenant.to_string()).collect();
    let ids: Vec<Uuid> = endpoints.iter().map(|(_, endpoint)| endpoint.as_uuid()).collect();
    let rows = sqlx::query!(
        r#"
        SELECT e.tenant_id, e.endpoint_id, e.url, e.enabled, t.status::text AS "status!", e.paused, e.paused_until,
               e.failing_since IS NOT NULL AS "is_failing!", e.breaker_open_until, e.timeout_ms,
               e.retry_schedule_ms, e.in_flight_max,
               e.rate_per_second,
               s.key_ids AS "key_ids!", s.sealed AS "sealed!",
               h.names AS "header_names!", h.contents AS "header_values!"
        FROM unnest($1::text[], $2::uuid[]) AS wanted (tenant_id, endpoint_id)
        JOIN trunkline.endpoints AS e USING (tenant_id, endpoint_id)
        JOIN trunkline.tenants AS t USING (tenant_id)
        CROSS JOIN LATERAL (
            SELECT coalesce(array_agg(key_id ORDER BY secret_id DESC), '{}') AS key_ids,
                   coalesce(array_agg(sealed ORDER BY secret_id DESC), '{}') AS sealed
            FROM trunkline.endpoint_secrets
            WHERE tenant_id = e.tenant_id AND endpoint_id = e.endpoint_id
              AND (valid_until IS NULL OR valid_until > $3)
        ) AS s
        CROSS JOIN LATERAL (
            SELECT coalesce(array_agg(key), '{}') AS names, coalesce(array_agg(value), '{}') AS contents
            FROM jsonb_each_text(e.custom_headers)
        ) AS h
        WHERE e.deleted_at IS NULL
        "#,
        &tenants,
        &ids,
        now,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|found| {
            let endpoint_id = EndpointId::from(found.endpoint_id);
            let active = TenantStatus::from_row(&found.status, &found.tenant_id)? == TenantStatus::Active;
            Ok(Endpoint {
                tenant_id: crate::row::tenant_id("endpoints", found.tenant_id)?,
                endpoint_id,
                url: found.url,
                is_open: found.enabled && active,
                is_paused: found.paused,
                paused_until: found.paused_until,
                custom_headers: found.header_names.into_iter().zip(found.header_values).collect(),
                is_failing: found.is_failing,
                breaker_open_until: found.breaker_open_until,
                timeout: found.timeout_ms.map(|ms| millis(ms.into())),
                retry_schedule: found.retry_schedule_ms.map(|waits| waits.into_iter().map(millis).collect()),
                in_flight_max: found.in_flight_max.map(crate::row::unsigned),
                rate_per_second: found.rate_per_second.map(crate::row::unsigned),
                secrets: found
                    .key_ids
                    .into_iter()
                    .zip(found.sealed)
                    .map(|(key_id, sealed)| SealedSecret { endpoint_id, key_id, sealed })
                    .collect(),
            })
        })
        .collect()
}

fn millis(count: i64) -> Duration {
    Duration::from_millis(count.max(0).unsigned_abs())
}
