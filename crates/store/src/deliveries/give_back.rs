use chrono::{DateTime, Utc};

use super::key::KeyColumns;
use super::{DeliveryKey, Lease};
use crate::citus::{self, Lanes};
use crate::days::Numbers;
use crate::{Connection, StoreError};

/// A claim that is given back.
#[derive(Debug, Clone)]
pub struct GivenBack {
    /// Which delivery.
    pub key: DeliveryKey,
    /// Proves that it is still ours.
    pub lease: Lease,
    /// When it is due instead, if not as before.
    pub retry_at: Option<DateTime<Utc>>,
}

/// Gives claimed deliveries back as if they had never been claimed: the attempt does not count. Returns how many still were
/// ours.
///
/// # Errors
/// When the database is not available.
pub async fn give_back(connection: &mut Connection, claims: &[GivenBack]) -> Result<usize, StoreError> {
    let mut given = 0;
    for part in citus::parts(connection, claims, |one| one.key.lane).await? {
        let done = give_back_of(connection, &part.rows, &part.lanes).await;
        given += done.map_err(|error| citus::forget_if_refused(connection, error))?;
    }
    Ok(given)
}

async fn give_back_of(
    connection: &mut Connection,
    claims: &[GivenBack],
    of: &Lanes,
) -> Result<usize, StoreError> {
    let keys = KeyColumns::of(claims.iter().map(|one| &one.key));
    let range = keys.event_range();
    let leases: Vec<i64> = claims.iter().map(|one| one.lease.0).collect();
    let due: Vec<Option<DateTime<Utc>>> = claims.iter().map(|one| one.retry_at).collect();
    let given = sqlx::query!(
        r#"
        UPDATE trunkline.deliveries AS d
        SET lease = NULL, leased_until = NULL, attempts = d.attempts - 1, cycle_attempts = d.cycle_attempts - 1,
            due_at = coalesce(c.due_at, d.due_at)
        FROM unnest($1::smallint[], $2::text[], $3::uuid[], $4::uuid[], $5::bigint[], $8::timestamptz[])
             AS c (lane, tenant_id, event_id, endpoint_id, lease, due_at)
        WHERE d.lane = c.lane AND d.tenant_id = c.tenant_id AND d.event_id = c.event_id
          AND d.endpoint_id = c.endpoint_id
          AND d.lease = c.lease
          AND d.event_id >= $6 AND d.event_id < $7 AND ($9::smallint[] IS NULL OR d.lane = ANY($9))
        "#,
        &keys.lanes,
        &keys.tenants,
        &keys.events,
        &keys.endpoints,
        &leases,
        range.from,
        range.before,
        &due as _,
        of.parameter() as _,
    )
    .execute(connection.over_days(range, of, Numbers { from: 6, before: 7, lanes: 9 }))
    .await?;
    Ok(usize::try_from(given.rows_affected()).unwrap_or(0))
}
