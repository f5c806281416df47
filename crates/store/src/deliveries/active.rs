use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use trunkline_domain::{EndpointId, Lane, TenantId};
use uuid::Uuid;

use crate::{StoreError, row};

/// An endpoint for which work is open, and since or from when.
#[derive(Debug, Clone)]
pub struct ActiveEndpoint {
    /// Its tenant's lane.
    pub lane: Lane,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// The earliest due time of its open deliveries; may lie ahead, or belong to one that is under way.
    pub first_due_at: DateTime<Utc>,
    /// Whether some of its deliveries were retried by hand and may pass a pause.
    pub has_expedited: bool,
}

/// The endpoints with open deliveries in order of lane and id, at most `limit` of them, after the one named.
///
/// A loose index scan: it jumps from endpoint to endpoint in the index of due work, so that its cost follows the
/// number of endpoints and not the number of deliveries.
///
/// # Errors
/// When the database is not available.
pub async fn active_endpoints(
    connection: &mut PgConnection,
    after: Option<(Lane, EndpointId)>,
    limit: i64,
) -> Result<Vec<ActiveEndpoint>, StoreError> {
    let (after_lane, after_endpoint) =
        after.map_or((-1, Uuid::nil()), |(lane, endpoint)| (lane.number(), endpoint.as_uuid()));
    let rows = sqlx::query!(
        r#"
        WITH RECURSIVE active AS (
            (
                SELECT lane, endpoint_id, tenant_id, due_at
                FROM trunkline.deliveries
                WHERE due_at IS NOT NULL AND (lane, endpoint_id) > ($1::smallint, $2::uuid)
                ORDER BY lane, endpoint_id, due_at
                LIMIT 1
            )
            UNION ALL
            SELECT next.lane, next.endpoint_id, next.tenant_id, next.due_at
            FROM active
            CROSS JOIN LATERAL (
                SELECT lane, endpoint_id, tenant_id, due_at
                FROM trunkline.deliveries
                WHERE due_at IS NOT NULL AND (lane, endpoint_id) > (active.lane, active.endpoint_id)
                ORDER BY lane, endpoint_id, due_at
                LIMIT 1
            ) AS next
        )
        SELECT lane AS "lane!", endpoint_id AS "endpoint_id!", tenant_id AS "tenant_id!", due_at AS "due_at!",
               EXISTS (
                   SELECT FROM trunkline.deliveries AS d
                   WHERE d.lane = active.lane AND d.endpoint_id = active.endpoint_id AND d.expedited
               ) AS "has_expedited!"
        FROM active
        LIMIT $3
        "#,
        after_lane,
        after_endpoint,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|found| {
            Ok(ActiveEndpoint {
                lane: row::lane("deliveries", found.lane, found.endpoint_id)?,
                tenant_id: row::tenant_id("deliveries", found.tenant_id)?,
                endpoint_id: EndpointId::from(found.endpoint_id),
                first_due_at: found.due_at,
                has_expedited: found.has_expedited,
            })
        })
        .collect()
}
