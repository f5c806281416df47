use chrono::{DateTime, Duration, Utc};

use super::{Left, has_open_work, past};
use crate::{Connection, StoreError};

/// A day may be gone so much later than it could: rounds take their time, and may have to wait for somebody.
const SLACK: Duration = Duration::days(1);

/// How many days should be gone and are not, those not counted that unfinished work keeps: of some the payloads, whose last is older
/// than `payloads_end`, of some all the rest, by `events_end`. A day is 1, whatever is left of it; at most 200 are counted.
///
/// # Errors
/// When the database is not available.
pub async fn overdue_days(
    connection: &mut Connection,
    payloads_end: DateTime<Utc>,
    events_end: DateTime<Utc>,
) -> Result<u32, StoreError> {
    let payloads = past(connection, Left::Payloads, payloads_end - SLACK).await?;
    let rest = past(connection, Left::Metadata, events_end - SLACK).await?;
    let mut count = 0;
    for day in payloads.iter().chain(&rest) {
        count += u32::from(!has_open_work(connection, day).await?);
    }
    Ok(count)
}
