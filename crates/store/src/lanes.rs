//! Who serves which lane. A lane is leased to one worker, so that caps, pace and turns of its endpoints are decided in one
//! process's memory; the leases of its deliveries hold even where two workers both believe that a lane is theirs.

use chrono::{DateTime, Utc};
use trunkline_domain::Lane;
use uuid::Uuid;

use crate::{Connection, StoreError, row};

/// Extends a worker's leases of these lanes and returns those that are still its own. A lease that ran out is gone, even
/// if nobody took the lane: it must be taken again.
///
/// # Errors
/// When the database is not available.
pub async fn renew(
    connection: &mut Connection,
    worker_id: Uuid,
    held: &[Lane],
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Vec<Lane>, StoreError> {
    let lanes = sqlx::query_scalar!(
        r#"
        UPDATE trunkline.lanes
        SET leased_until = $4
        WHERE owner = $1 AND lane = ANY($2) AND leased_until > $3
        RETURNING lane
        "#,
        worker_id,
        &numbers(held),
        now,
        until,
    )
    .fetch_all(connection)
    .await?;
    lanes.into_iter().map(|number| row::lane("lanes", number, number)).collect()
}

/// Takes at most `limit` lanes beyond those that are `held`: free, run out, left by one of `dead`, or the worker's own from
/// before it lost its session.
///
/// # Errors
/// When the database is not available.
pub async fn take(
    connection: &mut Connection,
    worker_id: Uuid,
    held: &[Lane],
    dead: &[Uuid],
    limit: usize,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Vec<Lane>, StoreError> {
    let lanes = sqlx::query_scalar!(
        r#"
        WITH free AS (
            SELECT lane
            FROM trunkline.lanes
            WHERE lane <> ALL($6)
              AND (owner IS NULL OR owner = $1 OR leased_until <= $4 OR owner = ANY($2))
            ORDER BY owner IS NOT DISTINCT FROM $1 DESC, lane
            LIMIT $3
            FOR UPDATE SKIP LOCKED
        )
        UPDATE trunkline.lanes AS l
        SET owner = $1, epoch = epoch + 1, leased_until = $5
        FROM free
        WHERE l.lane = free.lane
        RETURNING l.lane
        "#,
        worker_id,
        dead,
        i64::try_from(limit).unwrap_or(i64::MAX),
        now,
        until,
        &numbers(held),
    )
    .fetch_all(connection)
    .await?;
    lanes.into_iter().map(|number| row::lane("lanes", number, number)).collect()
}

/// Gives lanes up; those that are somebody else's by now are left alone.
///
/// # Errors
/// When the database is not available.
pub async fn release(connection: &mut Connection, worker_id: Uuid, lanes: &[Lane]) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        UPDATE trunkline.lanes
        SET owner = NULL, leased_until = NULL
        WHERE owner = $1 AND lane = ANY($2)
        "#,
        worker_id,
        &numbers(lanes),
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn numbers(lanes: &[Lane]) -> Vec<i16> {
    lanes.iter().map(|lane| lane.number()).collect()
}
