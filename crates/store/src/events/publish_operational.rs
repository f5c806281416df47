use bytes::Bytes;
use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, EventId, TenantId};

use crate::wake::Hint;
use crate::{Connection, StoreError, row};

/// What Trunkline has to tell a tenant about one of its endpoints.
#[derive(Clone)]
pub struct OperationalEvent {
    /// Whom.
    pub tenant_id: TenantId,
    /// About which endpoint.
    pub about: EndpointId,
    /// Minted from `created_at`.
    pub event_id: EventId,
    /// Such as `endpoint.disabled`.
    pub event_type: &'static str,
    /// A JSON object of facts: no secrets, no payloads.
    pub payload: Bytes,
    /// SHA-256 of `payload`.
    pub payload_sha256: [u8; 32],
    /// By the database's clock.
    pub created_at: DateTime<Utc>,
}

/// Stores an operational event as an event of its tenant with one delivery, to the tenant's operational endpoint, in one
/// statement. Where there is none, or it is disabled, or is what the event is about, nothing is written. Returns whom to wake.
///
/// # Errors
/// When the database is not available.
pub async fn publish_operational(
    connection: &mut Connection,
    event: &OperationalEvent,
) -> Result<Option<Hint>, StoreError> {
    let written = sqlx::query!(
        r#"
        WITH target AS (
            SELECT e.lane, e.tenant_id, e.endpoint_id
            FROM trunkline.endpoints AS e
            JOIN trunkline.tenants AS t USING (tenant_id)
            WHERE e.tenant_id = $1 AND e.operational AND e.enabled AND e.deleted_at IS NULL AND e.endpoint_id <> $2
              AND t.status <> 'DELETED'
            LIMIT 1
        ), owed AS (
            INSERT INTO trunkline.deliveries (lane, tenant_id, event_id, endpoint_id, status, due_at, created_at)
            SELECT lane, tenant_id, $3, endpoint_id, 'PENDING', $7, $7
            FROM target
            RETURNING lane
        ), kept AS (
            INSERT INTO trunkline.payloads (lane, tenant_id, event_id, payload)
            SELECT lane, tenant_id, $3, $5
            FROM target
            RETURNING lane
        ), stored AS (
            INSERT INTO trunkline.events
                (lane, tenant_id, event_id, type, payload_sha256, payload_bytes, created_at, routed)
            SELECT lane, tenant_id, $3, $4, $6, octet_length($5::bytea), $7, true
            FROM target
            RETURNING lane
        )
        SELECT lane, endpoint_id
        FROM target
        "#,
        event.tenant_id.as_str(),
        event.about.as_uuid(),
        event.event_id.as_uuid(),
        event.event_type,
        event.payload.as_ref(),
        event.payload_sha256.as_slice(),
        event.created_at,
    )
    .fetch_optional(connection)
    .await?;
    written
        .map(|found| {
            Ok(Hint {
                lane: row::lane("endpoints", found.lane, found.endpoint_id)?,
                tenant_id: event.tenant_id.clone(),
                endpoint_id: EndpointId::from(found.endpoint_id),
            })
        })
        .transpose()
}
