//! The worker processes that are alive.

use chrono::{DateTime, Utc};
use sqlx::postgres::types::PgInterval;
use uuid::Uuid;

use crate::{Connection, StoreError};

/// How long after its start a server's free locks mean nothing.
const SERVER_GRACE_MICROS: i64 = 3_000_000;

/// A worker as the others see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub worker_id: Uuid,
    /// Whether it said lately that it is alive.
    pub is_fresh: bool,
    /// Whether it is gone: it held a session lock, and the lock is free. Never so in the first seconds of a server, in which
    /// every worker has yet to come back.
    pub is_dead: bool,
}

/// The key of a worker's session lock: the first eight bytes of its id.
pub fn session_key(worker_id: Uuid) -> i64 {
    worker_id.as_u64_pair().0.cast_signed()
}

/// Says that a worker is alive, and forgets those that have not said so since `dead_before`.
///
/// # Errors
/// When the database is not available.
pub async fn beat(
    connection: &mut Connection,
    worker_id: Uuid,
    name: &str,
    version: &str,
    has_session: bool,
    now: DateTime<Utc>,
    dead_before: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        WITH swept AS (
            DELETE FROM trunkline.workers WHERE seen_at < $6
        )
        INSERT INTO trunkline.workers (worker_id, name, version, has_session, started_at, seen_at)
        VALUES ($1, $2, $3, $4, $5, $5)
        ON CONFLICT (worker_id) DO UPDATE SET seen_at = EXCLUDED.seen_at, has_session = EXCLUDED.has_session
        "#,
        worker_id,
        name,
        version,
        has_session,
        now,
        dead_before,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Every worker that is listed, the asking one among them; `fresh_after` tells who counts as alive by its beat.
///
/// A lock is looked at by trying to share it, which the end of the statement undoes.
///
/// # Errors
/// When the database is not available.
pub async fn peers(connection: &mut Connection, fresh_after: DateTime<Utc>) -> Result<Vec<Peer>, StoreError> {
    let listed = sqlx::query!(
        "SELECT worker_id, has_session, seen_at > $1 AS \"is_fresh!\" FROM trunkline.workers ORDER BY worker_id",
        fresh_after,
    )
    .fetch_all(&mut *connection)
    .await?;
    let keys: Vec<i64> =
        listed.iter().filter(|one| one.has_session).map(|one| session_key(one.worker_id)).collect();
    let free = sqlx::query_scalar!(
        r#"
        SELECT key AS "key!"
        FROM unnest($1::bigint[]) AS key
        WHERE now() - pg_postmaster_start_time() > $2 AND pg_try_advisory_xact_lock_shared(key)
        "#,
        &keys,
        PgInterval { months: 0, days: 0, microseconds: SERVER_GRACE_MICROS },
    )
    .fetch_all(connection)
    .await?;
    let peer = |one: &_| {
        let (worker_id, has_session, is_fresh): (Uuid, bool, bool) = *one;
        Peer { worker_id, is_fresh, is_dead: has_session && free.contains(&session_key(worker_id)) }
    };
    let listed: Vec<_> = listed.iter().map(|one| (one.worker_id, one.has_session, one.is_fresh)).collect();
    Ok(listed.iter().map(peer).collect())
}

/// Removes a worker that stops in good order.
///
/// # Errors
/// When the database is not available.
pub async fn leave(connection: &mut Connection, worker_id: Uuid) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM trunkline.workers WHERE worker_id = $1", worker_id).execute(connection).await?;
    Ok(())
}
