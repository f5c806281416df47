use bytes::Bytes;
use trunkline_domain::{EndpointId, EventType, NewEvent};

use crate::{Connection, StoreError};

/// Stores an event with one delivery, to this endpoint, whatever it matches; its first attempt passes a pause. One statement: all or
/// nothing. Returns `false`, and stores nothing, if the endpoint is deleted or not enabled.
///
/// # Errors
/// When the database is not available.
pub async fn publish_to(
    connection: &mut Connection,
    event: &NewEvent<Bytes>,
    endpoint_id: EndpointId,
) -> Result<bool, StoreError> {
    let stored = sqlx::query_scalar!(
        r#"
        WITH wanted AS (
            SELECT endpoint_id
            FROM trunkline.endpoints
            WHERE tenant_id = $2 AND endpoint_id = $4 AND enabled AND deleted_at IS NULL
        ), kept AS (
            INSERT INTO trunkline.payloads (lane, tenant_id, event_id, payload)
            SELECT $1, $2, $3, $5
            FROM wanted
            RETURNING lane
        ), fanned_out AS (
            INSERT INTO trunkline.deliveries
                (lane, tenant_id, event_id, endpoint_id, status, expedited, due_at, created_at)
            SELECT $1, $2, $3, endpoint_id, 'PENDING', true, $6, $6
            FROM wanted
            RETURNING lane
        )
        INSERT INTO trunkline.events
            (lane, tenant_id, event_id, type, payload_sha256, payload_bytes, created_at, traceparent, routed)
        SELECT $1, $2, $3, $7, $8, octet_length($5), $6, $9, true
        FROM wanted
        RETURNING true AS "stored!"
        "#,
        event.lane.number(),
        event.tenant_id.as_str(),
        event.event_id.as_uuid(),
        endpoint_id.as_uuid(),
        event.payload.as_ref(),
        event.created_at,
        event.event_type.as_ref().map(EventType::as_str),
        event.payload_sha256.as_slice(),
        event.traceparent,
    )
    .fetch_optional(connection)
    .await?;
    Ok(stored.unwrap_or(false))
}
