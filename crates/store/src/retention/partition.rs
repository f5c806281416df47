use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use sqlx::{AssertSqlSafe, Row as _};
use trunkline_domain::{EventId, Lane};

use crate::citus::{self, Lanes};
use crate::{Connection, StoreError, Transaction};

/// Days looked at in one go: a quarter of a year of neglect.
const DAYS_MAX: i64 = 100;

/// The tables that are partitioned, in the order in which they go: without its payload nothing can be retried, and without
/// its event nothing can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryTable {
    /// `payloads`, which may go earlier than the rest.
    Payloads,
    /// `events`
    Events,
    /// `deliveries`
    Deliveries,
    /// `attempts`
    Attempts,
}

impl HistoryTable {
    /// All but the payloads.
    pub const METADATA: [Self; 3] = [Self::Events, Self::Deliveries, Self::Attempts];

    /// As the schema calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Payloads => "payloads",
            Self::Events => "events",
            Self::Deliveries => "deliveries",
            Self::Attempts => "attempts",
        }
    }

    /// Of the partition that begins on that day.
    pub fn partition(self, from_day: NaiveDate) -> String {
        format!("{}_{}", self.name(), from_day.format("%Y%m%d"))
    }
}

/// The partitions of one or more days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// The first day in them (UTC).
    pub from_day: NaiveDate,
    /// The first day after them.
    pub until_day: NaiveDate,
}

/// How far the end of one partition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is a part of its table.
    Attached,
    /// Somebody began to detach it and did not come to the end.
    HalfDetached,
    /// It stands by itself.
    Detached,
    /// It is dropped.
    Gone,
}

/// What is left of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Everything.
    Payloads,
    /// All but the payloads.
    Metadata,
}

/// The days of which that is left, and which ended at `end` or before, oldest first; not those that somebody keeps for longer.
///
/// # Errors
/// When the database is not available.
pub async fn past(
    connection: &mut Connection,
    left: Left,
    end: DateTime<Utc>,
) -> Result<Vec<Day>, StoreError> {
    Ok(sqlx::query_as!(
        Day,
        r#"
        SELECT from_day, until_day
        FROM trunkline.history_partitions
        WHERE until_day <= ($1::timestamptz AT TIME ZONE 'UTC')::date
          AND (payloads_gone_at IS NULL) = $3
          AND (kept_until IS NULL OR kept_until <= (now() AT TIME ZONE 'UTC')::date)
        ORDER BY from_day
        LIMIT $2
        "#,
        end,
        DAYS_MAX,
        left == Left::Payloads,
    )
    .fetch_all(connection)
    .await?)
}

/// How the partition of `table` that begins on that day stands.
///
/// # Errors
/// When the database is not available.
pub async fn standing(
    connection: &mut Connection,
    table: HistoryTable,
    from_day: NaiveDate,
) -> Result<Standing, StoreError> {
    let found = sqlx::query!(
        r#"
        SELECT i.inhrelid IS NOT NULL AS "attached!", coalesce(i.inhdetachpending, false) AS "pending!"
        FROM pg_class AS c
        LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid
        WHERE c.relnamespace = 'trunkline'::regnamespace AND c.relname = $1
        "#,
        table.partition(from_day),
    )
    .fetch_optional(connection)
    .await?;
    Ok(match found {
        None => Standing::Gone,
        Some(found) if found.pending => Standing::HalfDetached,
        Some(found) if found.attached => Standing::Attached,
        Some(_) => Standing::Detached,
    })
}

/// Takes a partition out of its table while others go on reading and writing the table. It waits for transactions that use the
/// table; outside of a transaction, because it takes two of its own, and alone, whatever the connection goes through.
///
/// # Errors
/// When the database is not available or the wait was too long: it may be half detached then.
pub async fn detach(
    connection: &mut Connection,
    table: HistoryTable,
    from_day: NaiveDate,
) -> Result<(), StoreError> {
    let (parent, partition) = (table.name(), table.partition(from_day));
    if citus::is_distributed(connection).await? {
        return citus::detach(connection, parent, &partition).await;
    }
    let sql = format!("ALTER TABLE trunkline.{parent} DETACH PARTITION trunkline.{partition} CONCURRENTLY");
    Ok(connection.execute_alone(sql).await?)
}

/// Ends what [`detach`] began when its process or the server died.
///
/// # Errors
/// When the database is not available or the wait was too long.
pub async fn finish_detaching(
    connection: &mut Connection,
    table: HistoryTable,
    from_day: NaiveDate,
) -> Result<(), StoreError> {
    let (parent, partition) = (table.name(), table.partition(from_day));
    run(connection, format!("ALTER TABLE trunkline.{parent} DETACH PARTITION trunkline.{partition} FINALIZE"))
        .await
}

/// Whether a delivery of a day has not come to its end.
///
/// # Errors
/// When the database is not available.
pub async fn has_open_work(connection: &mut Connection, day: &Day) -> Result<bool, StoreError> {
    for of in citus::every_shard(connection).await? {
        let found = has_open_work_of(connection, &of, day).await;
        if found.map_err(|error| citus::forget_if_refused(connection, error))? {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn has_open_work_of(connection: &mut Connection, of: &Lanes, day: &Day) -> Result<bool, StoreError> {
    let from = EventId::first_at(midnight(day.from_day)).as_uuid();
    let until = EventId::first_at(midnight(day.until_day)).as_uuid();
    Ok(sqlx::query_scalar!(
        r#"
        SELECT EXISTS (
            SELECT FROM trunkline.deliveries
            WHERE due_at IS NOT NULL AND event_id >= $1 AND event_id < $2 AND ($3::smallint[] IS NULL OR lane = ANY($3))
        ) OR EXISTS (
            SELECT FROM trunkline.deliveries
            WHERE held AND ordering_key IS NOT NULL AND finished_at IS NULL AND event_id >= $1 AND event_id < $2
              AND ($3::smallint[] IS NULL OR lane = ANY($3))
        ) AS "is_open!"
        "#,
        from,
        until,
        of.parameter() as _,
    )
    .fetch_one(connection)
    .await?)
}

/// Takes back what [`detach`] did. Its rows need not be looked at: a constraint that detaching left says which they are.
///
/// # Errors
/// When the database is not available.
pub async fn attach(connection: &mut Connection, table: HistoryTable, day: &Day) -> Result<(), StoreError> {
    let (parent, partition) = (table.name(), table.partition(day.from_day));
    let from = EventId::first_at(midnight(day.from_day)).as_uuid();
    let until = EventId::first_at(midnight(day.until_day)).as_uuid();
    let sql = format!(
        "ALTER TABLE trunkline.{parent} ATTACH PARTITION trunkline.{partition} FOR VALUES FROM ('{from}') TO ('{until}')"
    );
    run(connection, sql).await
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// Drops a partition that is detached.
///
/// # Errors
/// When the database is not available.
pub async fn drop(
    connection: &mut Connection,
    table: HistoryTable,
    from_day: NaiveDate,
) -> Result<(), StoreError> {
    run(connection, format!("DROP TABLE IF EXISTS trunkline.{}", table.partition(from_day))).await
}

/// The rows of one lane in a detached partition, each as a line of JSON: columns as in the table, the payload as a string. In a
/// transaction, so that they come one after the other through a pooler too, and lane by lane, so that no snapshot is held for as long
/// as a whole day takes: a table that is detached does not change meanwhile.
pub fn rows<'a>(
    transaction: &'a mut Transaction<'_>,
    table: HistoryTable,
    from_day: NaiveDate,
    lane: Lane,
) -> BoxStream<'a, Result<String, StoreError>> {
    let partition = table.partition(from_day);
    let row = match table {
        // As a string, so that its bytes stay as they are and a line is a row; what is no JSON may be no text either.
        HistoryTable::Payloads => {
            "json_build_object('lane', lane, 'tenant_id', tenant_id, 'event_id', event_id, \
             'payload', CASE WHEN trunkline_read.as_json(payload) IS NOT NULL THEN convert_from(payload, 'UTF8') END, \
             'payload_base64', CASE WHEN trunkline_read.as_json(payload) IS NULL THEN encode(payload, 'base64') END)"
        }
        _ => "to_json(r)",
    };
    let sql = format!(
        "SELECT ({row})::text FROM trunkline.{partition} AS r WHERE lane = {}::smallint",
        lane.number()
    );
    sqlx::raw_sql(AssertSqlSafe(sql))
        .fetch(&mut **transaction)
        .map_err(StoreError::from)
        .and_then(|row| async move { Ok(row.try_get(0)?) })
        .boxed()
}

/// Notes that the payloads of a day are gone.
///
/// # Errors
/// When the database is not available.
pub async fn note_payloads_gone(connection: &mut Connection, from_day: NaiveDate) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE trunkline.history_partitions SET payloads_gone_at = now() WHERE from_day = $1 AND payloads_gone_at IS NULL",
        from_day,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets a day of which nothing is left.
///
/// # Errors
/// When the database is not available.
pub async fn forget(connection: &mut Connection, from_day: NaiveDate) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM trunkline.history_partitions WHERE from_day = $1", from_day)
        .execute(connection)
        .await?;
    Ok(())
}

async fn run(connection: &mut Connection, sql: String) -> Result<(), StoreError> {
    // Names of relations cannot be parameters; these are a word of ours and a date.
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}
