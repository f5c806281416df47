use trunkline_domain::{EventId, Lane, TenantId};
use uuid::Uuid;

use crate::{Connection, StoreError};

/// The payloads of a few events, each with its event; those that were erased are missing. The caller bounds how many: each
/// may be as large as a payload can be.
///
/// # Errors
/// When the database is not available.
pub async fn payloads(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    events: &[EventId],
) -> Result<Vec<(EventId, Vec<u8>)>, StoreError> {
    let ids: Vec<Uuid> = events.iter().map(|id| id.as_uuid()).collect();
    let rows = sqlx::query!(
        r#"
        SELECT event_id, payload AS "payload!"
        FROM trunkline.payloads
        WHERE lane = $1 AND tenant_id = $2 AND event_id = ANY($3) AND payload IS NOT NULL
        "#,
        lane.number(),
        tenant_id.as_str(),
        &ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|found| (EventId::from(found.event_id), found.payload)).collect())
}
