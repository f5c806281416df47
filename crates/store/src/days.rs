//! Plans that PostgreSQL keeps, of statements over partitions.
//!
//! A plan that is kept is made before its parameters are known, and so for every partition there is; a plan that is made anew
//! for each statement is for those that it needs, but making it takes as long as running it. So the engine writes the days it asks for
//! into the statement's text: the plan that is kept then is for the partitions of these days. The text changes once a day.

use chrono::{Days, NaiveTime};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{AssertSqlSafe, Describe, Either, Error, Execute, Executor, Postgres, SqlSafeStr as _, SqlStr};
use trunkline_domain::EventId;
use uuid::Uuid;

use crate::Connection;
use crate::citus::Lanes;
use crate::events::IdRange;

/// The numbers of a statement's parameters that are written out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers {
    /// The lowest id.
    pub(crate) from: u16,
    /// The first id beyond.
    pub(crate) before: u16,
    /// [`Lanes::parameter`], where it is NULL: so the condition is gone from a plan that is kept, too.
    pub(crate) lanes: u16,
}

impl Connection {
    /// Runs a statement over the days that `range` touches, whole ones: they are in its text, instead of the parameters that it is
    /// checked with at compile time.
    pub(crate) fn over_days(&mut self, range: IdRange, of: &Lanes, numbers: Numbers) -> OverDays<'_> {
        let IdRange { from, before } = whole_days(range);
        let id = |id: Uuid| format!("'{id}'::uuid");
        let mut written = vec![(numbers.from, id(from)), (numbers.before, id(before))];
        if of.parameter().is_none() {
            written.push((numbers.lanes, "NULL".to_owned()));
        }
        OverDays { connection: self, written }
    }
}

/// The days that a range touches.
fn whole_days(range: IdRange) -> IdRange {
    let from = midnight(range.from, 0).map_or(range.from, |id| id.min(range.from));
    let before = midnight(range.before, 1).map_or(range.before, |id| id.max(range.before));
    IdRange { from, before }
}

/// The first id of the day that `id` is of, or of one so many days later; `None` where the calendar ends.
fn midnight(id: Uuid, days_later: u64) -> Option<Uuid> {
    let day = EventId::from(id).instant()?.date_naive().checked_add_days(Days::new(days_later))?;
    Some(EventId::first_at(day.and_time(NaiveTime::MIN).and_utc()).as_uuid())
}

/// A connection that writes days into a statement.
#[derive(Debug)]
pub(crate) struct OverDays<'c> {
    connection: &'c mut Connection,
    written: Vec<(u16, String)>,
}

impl<'c> Executor<'c> for OverDays<'c> {
    type Database = Postgres;

    fn fetch_many<'e, 'q, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'c: 'e,
        E: Execute<'q, Postgres>,
        'q: 'e,
        E: 'q,
    {
        self.connection.fetch_many(WrittenOut { query, written: self.written })
    }

    fn fetch_optional<'e, 'q, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: Execute<'q, Postgres>,
        'q: 'e,
        E: 'q,
    {
        self.connection.fetch_optional(WrittenOut { query, written: self.written })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        self.connection.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        self.connection.describe(sql)
    }
}

/// A statement with some parameters in its text. It is given all of them still; these are not asked for any more.
struct WrittenOut<E> {
    query: E,
    written: Vec<(u16, String)>,
}

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for WrittenOut<E> {
    fn sql(self) -> SqlStr {
        AssertSqlSafe(write_out(self.query.sql().as_str(), &self.written)).into_sql_str()
    }

    fn statement(&self) -> Option<&PgStatement> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.query.take_arguments()
    }

    fn persistent(&self) -> bool {
        self.query.persistent()
    }
}

/// The text with values instead of some parameters. Statements of this crate have `$` and a number nowhere else.
fn write_out(sql: &str, written: &[(u16, String)]) -> String {
    let mut parts = sql.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        let number = number.parse::<u16>().ok();
        match written.iter().find(|(one, _)| Some(*one) == number) {
            Some((_, value)) => text.extend([value, rest]),
            None => text.extend(["$", part]),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(time: &str) -> Uuid {
        EventId::mint(time.parse().unwrap(), 42).as_uuid()
    }

    fn first_id(time: &str) -> Uuid {
        EventId::first_at(time.parse().unwrap()).as_uuid()
    }

    #[test]
    fn days_are_whole_and_of_utc() {
        let range = IdRange { from: id("2026-11-27T23:59:59.999Z"), before: id("2026-11-28T00:00:00Z") };
        let whole = whole_days(range);
        assert_eq!(whole.from, first_id("2026-11-27T00:00:00Z"));
        assert_eq!(whole.before, first_id("2026-11-29T00:00:00Z"));
    }

    #[test]
    fn a_range_without_an_end_has_none() {
        assert_eq!(whole_days(IdRange::ALL).from, Uuid::nil());
        assert_eq!(whole_days(IdRange::ALL).before, Uuid::max());
    }

    #[test]
    fn only_the_parameters_named_are_written_out() {
        let written = [(1, "'a'".to_owned()), (12, "NULL".to_owned())];
        assert_eq!(
            write_out("SELECT $1, $12::smallint[], $11, $2 WHERE id >= $1", &written),
            "SELECT 'a', NULL::smallint[], $11, $2 WHERE id >= 'a'"
        );
        assert_eq!(write_out("SELECT 1", &written), "SELECT 1");
    }
}
