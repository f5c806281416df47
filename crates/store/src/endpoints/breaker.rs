use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, TenantId};
use uuid::Uuid;

use crate::{Connection, StoreError, row};

/// Where an endpoint's breaker stands.
#[derive(Debug, Clone)]
pub struct Breaker {
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// Until when nothing is attempted; `None` = it closed.
    pub open_until: Option<DateTime<Utc>>,
}

/// A breaker that opened first, or closed: what a person wants to hear of. One that stays open after a probe is none.
#[derive(Debug, Clone)]
pub struct BreakerTurn {
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// Until when nothing is attempted; `None` = it closed.
    pub open_until: Option<DateTime<Utc>>,
    /// The first failure since its last success.
    pub failing_since: Option<DateTime<Utc>>,
}

/// Writes down where breakers stand, so that a worker that loads the endpoints for the first time goes on from there, and
/// people see it. Returns those that turned. Name each endpoint once.
///
/// # Errors
/// When the database is not available.
pub async fn note_breakers(
    connection: &mut Connection,
    breakers: &[Breaker],
) -> Result<Vec<BreakerTurn>, StoreError> {
    let tenants: Vec<&str> = breakers.iter().map(|one| one.tenant_id.as_str()).collect();
    let endpoints: Vec<Uuid> = breakers.iter().map(|one| one.endpoint_id.as_uuid()).collect();
    let open: Vec<Option<DateTime<Utc>>> = breakers.iter().map(|one| one.open_until).collect();
    let rows = sqlx::query!(
        r#"
        WITH known AS (
            SELECT e.tenant_id, e.endpoint_id, e.breaker_open_until AS open_until, e.failing_since
            FROM unnest($1::text[], $2::uuid[]) AS b (tenant_id, endpoint_id)
            JOIN trunkline.endpoints AS e USING (tenant_id, endpoint_id)
            WHERE e.deleted_at IS NULL
            FOR UPDATE OF e
        ), noted AS (
            UPDATE trunkline.endpoints AS e
            SET breaker_open_until = b.open_until
            FROM unnest($1::text[], $2::uuid[], $3::timestamptz[]) AS b (tenant_id, endpoint_id, open_until)
            JOIN known AS k USING (tenant_id, endpoint_id)
            WHERE e.tenant_id = b.tenant_id AND e.endpoint_id = b.endpoint_id
              AND k.open_until IS DISTINCT FROM b.open_until
            RETURNING e.tenant_id, e.endpoint_id, e.breaker_open_until, k.open_until AS before, k.failing_since
        )
        SELECT tenant_id, endpoint_id, breaker_open_until, failing_since
        FROM noted
        WHERE (before IS NULL) <> (breaker_open_until IS NULL)
        "#,
        &tenants as _,
        &endpoints,
        &open as _,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|found| {
            Ok(BreakerTurn {
                tenant_id: row::tenant_id("endpoints", found.tenant_id)?,
                endpoint_id: EndpointId::from(found.endpoint_id),
                open_until: found.breaker_open_until,
                failing_since: found.failing_since,
            })
        })
        .collect()
}
