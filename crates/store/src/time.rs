//! The database's clock, by which all schedules and leases are kept.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::pool::within;
use crate::{Connection, Pool, StoreError};

/// Between two readings of the database's clock. Quartz drifts by less than a tenth of a millisecond in that time.
const REFRESH: Duration = Duration::from_secs(10);

/// After a reading that failed.
const REFRESH_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What time it is in the database.
///
/// # Errors
/// When the database is not available.
pub async fn now(connection: &mut Connection) -> Result<DateTime<Utc>, StoreError> {
    Ok(sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(connection).await?)
}

/// How long all of a reading may take; one that took longer would tell little.
const PATIENCE: Duration = Duration::from_secs(3);

/// Readings taken at one time; the quickest counts.
const READINGS: usize = 5;

/// A reading of the database's clock, with the round trip it took: the truth is half of that off at most. The quickest of
/// a few, since a busy machine answers now and then milliseconds late, and a worker whose clock is behind the api's takes
/// an event for not yet due.
///
/// # Errors
/// When the database is not available.
pub async fn read(pool: &Pool) -> Result<(DateTime<Utc>, Duration), StoreError> {
    let readings = async { readings(&mut pool.acquire().await?).await };
    within(PATIENCE, readings).await
}

/// The same as a door opens, whose first connection this is.
///
/// # Errors
/// When the database is not available.
pub async fn read_first(pool: &Pool) -> Result<(DateTime<Utc>, Duration), StoreError> {
    // By that very connection: given back, it takes a moment to be there for the next.
    let mut connection = pool.connect_first().await?;
    within(PATIENCE, readings(&mut connection)).await
}

async fn readings(connection: &mut Connection) -> Result<(DateTime<Utc>, Duration), StoreError> {
    let mut best: Option<(DateTime<Utc>, Duration)> = None;
    for _ in 0..READINGS {
        let asked = Instant::now();
        let now = now(connection).await?;
        let round_trip = asked.elapsed();
        // What was read earlier has aged since by the time that passed.
        best = match best {
            Some((then, quickest)) if quickest < round_trip => Some((then + round_trip, quickest)),
            _ => Some((now, round_trip)),
        };
    }
    best.ok_or(StoreError::Unavailable(sqlx::Error::PoolClosed))
}

/// Hands a reading to `set` every ten seconds, for ever. Failures pass in silence: the clock runs on by itself, and
/// what else needs the database reports that it is away.
pub async fn follow(pool: Pool, set: impl Fn(DateTime<Utc>, Duration)) {
    loop {
        let wait = match read(&pool).await {
            Ok((now, round_trip)) => {
                set(now, round_trip);
                REFRESH
            }
            Err(_) => REFRESH_AFTER_FAILURE,
        };
        tokio::time::sleep(wait).await;
    }
}
