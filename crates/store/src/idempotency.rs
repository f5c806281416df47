//! Idempotency keys: which event a publisher's key made.

use std::time::Duration;

use chrono::{DateTime, Utc};
use trunkline_domain::{EventId, Lane, TenantId};
use uuid::Uuid;

use crate::citus::{self, Lanes};
use crate::{Connection, StoreError};

/// A key that a new event wants for itself.
#[derive(Debug, Clone)]
pub struct KeyClaim {
    /// Its tenant's lane.
    pub lane: Lane,
    /// Keys are per tenant.
    pub tenant_id: TenantId,
    /// 1 to 255 characters.
    pub key: String,
    /// Of type and payload.
    pub body_sha256: [u8; 32],
    /// The event that will have it.
    pub event_id: EventId,
}

/// What a key names already.
#[derive(Debug, Clone)]
pub struct KeyHolder {
    /// The body of the first request.
    pub body_sha256: Vec<u8>,
    /// The event it made.
    pub event_id: EventId,
}

/// Lets the transaction wait this long for a key that another holds, instead of `lock_timeout`. It must be shorter than
/// `statement_timeout`, which tells less.
///
/// # Errors
/// When the database is not available.
pub async fn wait_at_most(connection: &mut Connection, wait: Duration) -> Result<(), StoreError> {
    let wait = format!("{}ms", wait.as_millis());
    sqlx::query_scalar!("SELECT set_config('lock_timeout', $1, true)", wait).fetch_one(connection).await?;
    Ok(())
}

/// Claims keys for the events about to be stored in the same transaction, and returns the events whose key was free
/// or had expired by `now`. `claims` are in order of tenant and key, each key once, so that two transactions wait for
/// each other in one direction only.
///
/// # Errors
/// [`StoreError::Locked`] when another transaction holds a key for longer than `lock_timeout`.
pub async fn claim(
    connection: &mut Connection,
    claims: &[KeyClaim],
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<Vec<EventId>, StoreError> {
    let lanes: Vec<i16> = claims.iter().map(|claim| claim.lane.number()).collect();
    let tenants: Vec<String> = claims.iter().map(|claim| claim.tenant_id.to_string()).collect();
    let keys: Vec<String> = claims.iter().map(|claim| claim.key.clone()).collect();
    let hashes: Vec<Vec<u8>> = claims.iter().map(|claim| claim.body_sha256.to_vec()).collect();
    let events: Vec<Uuid> = claims.iter().map(|claim| claim.event_id.as_uuid()).collect();
    let won = sqlx::query_scalar!(
        r#"
        INSERT INTO trunkline.idempotency_keys AS k (lane, tenant_id, key, body_sha256, event_id, expires_at)
        SELECT c.lane, c.tenant_id, c.key, c.body_sha256, c.event_id, $7
        FROM unnest($1::smallint[], $2::text[], $3::text[], $4::bytea[], $5::uuid[])
             AS c (lane, tenant_id, key, body_sha256, event_id)
        ON CONFLICT (lane, tenant_id, key) DO UPDATE
        SET body_sha256 = EXCLUDED.body_sha256, event_id = EXCLUDED.event_id, expires_at = EXCLUDED.expires_at
        WHERE k.expires_at <= $6
        RETURNING event_id
        "#,
        &lanes,
        &tenants,
        &keys,
        &hashes,
        &events,
        now,
        expires_at,
    )
    .fetch_all(connection)
    .await?;
    Ok(won.into_iter().map(EventId::from).collect())
}

/// What a key names, if anything.
///
/// # Errors
/// When the database is not available.
pub async fn find(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    key: &str,
) -> Result<Option<KeyHolder>, StoreError> {
    let found = sqlx::query!(
        r#"
        SELECT body_sha256, event_id
        FROM trunkline.idempotency_keys
        WHERE lane = $1 AND tenant_id = $2 AND key = $3
        "#,
        lane.number(),
        tenant_id.as_str(),
        key,
    )
    .fetch_optional(connection)
    .await?;
    Ok(found
        .map(|found| KeyHolder { body_sha256: found.body_sha256, event_id: EventId::from(found.event_id) }))
}

/// Removes at most 1,000 keys that expired before `now`, in each shard, and returns how many: the most of any.
///
/// # Errors
/// When the database is not available.
pub async fn sweep(connection: &mut Connection, now: DateTime<Utc>) -> Result<u64, StoreError> {
    let mut most = 0;
    for of in citus::every_shard(connection).await? {
        let done = sweep_of(connection, &of, now).await;
        most = done.map_err(|error| citus::forget_if_refused(connection, error))?.max(most);
    }
    Ok(most)
}

async fn sweep_of(connection: &mut Connection, of: &Lanes, now: DateTime<Utc>) -> Result<u64, StoreError> {
    let swept = sqlx::query!(
        r#"
        DELETE FROM trunkline.idempotency_keys
        WHERE ($2::smallint[] IS NULL OR lane = ANY($2)) AND (lane, tenant_id, key) IN (
            SELECT lane, tenant_id, key
            FROM trunkline.idempotency_keys
            WHERE expires_at <= $1 AND ($2::smallint[] IS NULL OR lane = ANY($2))
            ORDER BY expires_at
            LIMIT 1000
            FOR UPDATE SKIP LOCKED
        )
        "#,
        now,
        of.parameter() as _,
    )
    .execute(connection)
    .await?;
    Ok(swept.rows_affected())
}
