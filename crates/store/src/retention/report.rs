use chrono::NaiveDate;

use super::Scope;
use crate::citus::{self, Lanes};
use crate::{Connection, StoreError};

/// Open deliveries and hidden events are counted up to this; more are shown as "at least".
pub const COUNT_MAX: i64 = 10_000;

/// What one day of history holds.
#[derive(Debug, Clone)]
pub struct DayReport {
    /// The first day in its partitions (UTC).
    pub from_day: NaiveDate,
    /// The first day after them.
    pub until_day: NaiveDate,
    /// It was brought back, and is not dropped before that day.
    pub kept_until: Option<NaiveDate>,
    /// Whether its payloads are dropped.
    pub payloads_gone: bool,
    /// Size of the payloads on disk.
    pub payload_bytes: i64,
    /// Size of everything else.
    pub metadata_bytes: i64,
    /// Deliveries that keep it, up to [`COUNT_MAX`].
    pub open_deliveries: i64,
}

/// Every day of history that has begun, oldest first.
///
/// # Errors
/// When the database is not available.
pub async fn report(connection: &mut Connection) -> Result<Vec<DayReport>, StoreError> {
    let mut days: Vec<DayReport> = Vec::new();
    for of in citus::every_shard(connection).await? {
        let found = report_of(connection, &of).await;
        let found = found.map_err(|error| citus::forget_if_refused(connection, error))?;
        // The same days each time, and the same sizes: only what is open lies in shards.
        for day in &mut days {
            let more = found.iter().find(|one| one.from_day == day.from_day);
            day.open_deliveries += more.map_or(0, |one| one.open_deliveries);
        }
        if days.is_empty() {
            days = found;
        }
    }
    Ok(days)
}

async fn report_of(connection: &mut Connection, of: &Lanes) -> Result<Vec<DayReport>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT h.from_day, h.until_day, h.kept_until, h.payloads_gone_at IS NOT NULL AS "payloads_gone!",
               coalesce((
                   SELECT sum(pg_total_relation_size(c.oid))
                   FROM pg_class AS c
                   WHERE c.relnamespace = 'trunkline'::regnamespace
                     AND c.relname = 'payloads_' || to_char(h.from_day, 'YYYYMMDD')
               ), 0)::bigint AS "payload_bytes!",
               coalesce((
                   SELECT sum(pg_total_relation_size(c.oid))
                   FROM pg_class AS c
                   WHERE c.relnamespace = 'trunkline'::regnamespace
                     AND c.relname IN ('events_' || to_char(h.from_day, 'YYYYMMDD'), 'deliveries_' || to_char(h.from_day, 'YYYYMMDD'),
                                       'attempts_' || to_char(h.from_day, 'YYYYMMDD'))
               ), 0)::bigint AS "metadata_bytes!",
               (
                   SELECT count(*)
                   FROM (
                       SELECT FROM trunkline.deliveries
                       WHERE due_at IS NOT NULL AND ($2::smallint[] IS NULL OR lane = ANY($2))
                         AND event_id >= trunkline.uuid_v7_floor(h.from_day::timestamp AT TIME ZONE 'UTC')
                         AND event_id < trunkline.uuid_v7_floor(h.until_day::timestamp AT TIME ZONE 'UTC')
                       LIMIT $1
                   ) AS open
               ) + (
                   SELECT count(*)
                   FROM (
                       SELECT FROM trunkline.deliveries
                       WHERE held AND ordering_key IS NOT NULL AND finished_at IS NULL
                         AND ($2::smallint[] IS NULL OR lane = ANY($2))
                         AND event_id >= trunkline.uuid_v7_floor(h.from_day::timestamp AT TIME ZONE 'UTC')
                         AND event_id < trunkline.uuid_v7_floor(h.until_day::timestamp AT TIME ZONE 'UTC')
                       LIMIT $1
                   ) AS held
               ) AS "open_deliveries!"
        FROM trunkline.history_partitions AS h
        WHERE h.from_day <= (now() AT TIME ZONE 'UTC')::date
        ORDER BY h.from_day
        "#,
        COUNT_MAX,
        of.parameter() as _,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| DayReport {
            from_day: row.from_day,
            until_day: row.until_day,
            kept_until: row.kept_until,
            payloads_gone: row.payloads_gone,
            payload_bytes: row.payload_bytes,
            metadata_bytes: row.metadata_bytes,
            open_deliveries: row.open_deliveries,
        })
        .collect())
}

/// How many events of a scope are hidden already and not erased yet, up to [`COUNT_MAX`].
///
/// # Errors
/// When the database is not available.
pub async fn hidden(connection: &mut Connection, scope: &Scope) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        SELECT count(*) AS "count!"
        FROM (
            SELECT FROM trunkline.events
            WHERE lane = $1 AND tenant_id = $2 AND event_id < $3 AND ($4::text IS NULL OR type IS NOT DISTINCT FROM $4)
            LIMIT $5
        ) AS hidden
        "#,
        scope.lane.number(),
        scope.tenant_id.as_str(),
        scope.kept_from,
        scope.event_type,
        COUNT_MAX,
    )
    .fetch_one(connection)
    .await?)
}
