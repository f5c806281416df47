//! The first half of a page of history: which events to look at. Each question has the index that answers it, and stands
//! as a statement of its own because a status given as a parameter would not match a partial index.

use chrono::{DateTime, TimeDelta, Utc};
use trunkline_domain::{EventId, Lane, TenantId};
use uuid::Uuid;

use crate::{Connection, StoreError};

/// Which ids a page may show: `from <= id < before`. It prunes partitions.
#[derive(Debug, Clone, Copy)]
pub struct IdRange {
    /// The lowest id.
    pub from: Uuid,
    /// The first id that is too new: the page's cursor.
    pub before: Uuid,
}

impl IdRange {
    /// Every id there can be.
    pub const ALL: Self = Self { from: Uuid::nil(), before: Uuid::max() };

    /// The ids of the range's last day, and those below it. A page is mostly full of the first, and PostgreSQL plans for the
    /// partitions of a day in a fraction of the time that it needs for all. `now` stands for an end that is not in sight.
    pub fn last_day(self, now: DateTime<Utc>) -> (Self, Self) {
        let ends_at = EventId::from(self.before).instant().map_or(now, |ends_at| ends_at.min(now));
        let floor = EventId::first_at(ends_at - TimeDelta::days(1)).as_uuid().max(self.from).min(self.before);
        (Self { from: floor, ..self }, Self { before: floor, ..self })
    }

    /// Whether no id lies in it.
    pub fn is_empty(self) -> bool {
        self.from >= self.before
    }
}

/// The newest `limit` events in the range.
///
/// # Errors
/// When the database is not available.
pub async fn with_any_status(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    range: IdRange,
    limit: i64,
) -> Result<Vec<EventId>, StoreError> {
    let ids = sqlx::query_scalar!(
        r#"
        SELECT event_id
        FROM trunkline.events
        WHERE lane = $1 AND tenant_id = $2 AND event_id >= $3 AND event_id < $4
        ORDER BY event_id DESC
        LIMIT $5
        "#,
        lane.number(),
        tenant_id.as_str(),
        range.from,
        range.before,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(EventId::from).collect())
}

/// The newest `limit` events in the range of which at least one delivery was not attempted yet.
///
/// # Errors
/// When the database is not available.
pub async fn with_status_pending(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    range: IdRange,
    limit: i64,
) -> Result<Vec<EventId>, StoreError> {
    let ids = sqlx::query_scalar!(
        r#"
        SELECT DISTINCT event_id
        FROM trunkline.deliveries
        WHERE lane = $1 AND tenant_id = $2 AND event_id >= $3 AND event_id < $4 AND status = 'PENDING'
        ORDER BY event_id DESC
        LIMIT $5
        "#,
        lane.number(),
        tenant_id.as_str(),
        range.from,
        range.before,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(EventId::from).collect())
}

/// The newest `limit` events in the range of which at least one delivery failed.
///
/// # Errors
/// When the database is not available.
pub async fn with_status_failed(
    connection: &mut Connection,
    lane: Lane,
    tenant_id: &TenantId,
    range: IdRange,
    limit: i64,
) -> Result<Vec<EventId>, StoreError> {
    let ids = sqlx::query_scalar!(
        r#"
        SELECT DISTINCT event_id
        FROM trunkline.deliveries
        WHERE lane = $1 AND tenant_id = $2 AND event_id >= $3 AND event_id < $4 AND status = 'FAILED'
        ORDER BY event_id DESC
        LIMIT $5
        "#,
        lane.number(),
        tenant_id.as_str(),
        range.from,
        range.before,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(EventId::from).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Uuid {
        EventId::first_at(DateTime::from_timestamp_millis(millis).unwrap()).as_uuid()
    }

    #[test]
    fn the_last_day_of_everything_is_the_one_before_now() {
        let day = 24 * 3_600 * 1_000;
        let (recent, earlier) = IdRange::ALL.last_day(DateTime::from_timestamp_millis(10 * day).unwrap());
        assert_eq!((recent.from, recent.before), (at(9 * day), Uuid::max()));
        assert_eq!((earlier.from, earlier.before), (Uuid::nil(), at(9 * day)));
        let page = IdRange { before: at(5 * day), ..IdRange::ALL };
        let (recent, _) = page.last_day(DateTime::from_timestamp_millis(10 * day).unwrap());
        assert_eq!((recent.from, recent.before), (at(4 * day), at(5 * day)), "deeper pages too");
    }

    proptest! {
        #[test]
        fn both_parts_together_are_the_range(from: u128, before: u128, now in 0..4_102_444_800_000_i64) {
            let range = IdRange { from: Uuid::from_u128(from), before: Uuid::from_u128(before) };
            let (recent, earlier) = range.last_day(DateTime::from_timestamp_millis(now).unwrap());
            prop_assert_eq!((earlier.from, recent.before), (range.from, range.before));
            prop_assert_eq!(earlier.before, recent.from);
            prop_assert!(range.is_empty() || (earlier.from <= earlier.before && recent.from <= recent.before));
        }
    }
}
