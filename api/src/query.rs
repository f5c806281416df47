//! Query parameters: every one is known, and every value is understood, or the request is refused by name.

use std::str::FromStr;

use actix_web::HttpRequest;
use actix_web::web::Query;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// Reads the query into a struct of optional strings that denies unknown fields.
pub(crate) fn parse<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Problem> {
    Query::<T>::from_query(request.query_string()).map(Query::into_inner).map_err(|error| {
        let text = error.to_string();
        // serde puts the name of an unknown or repeated one between backticks.
        Problem::bad_query(text.split('`').nth(1), &text)
    })
}

/// One value, by its own rules.
pub(crate) fn value<T: FromStr>(
    name: &'static str,
    text: Option<&str>,
    accepts: &str,
) -> Result<Option<T>, Problem> {
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|_| Problem::bad_query(Some(name), &format!("{name} accepts {accepts}.")))
}

/// A time: RFC 3339, any offset.
pub(crate) fn time(name: &'static str, text: Option<&str>) -> Result<Option<DateTime<Utc>>, Problem> {
    let parsed = text.map(DateTime::parse_from_rfc3339).transpose();
    let parsed = parsed.map_err(|_| {
        let accepts = "an RFC 3339 time such as 2026-01-31T12:00:00Z (write + as %2B)";
        Problem::bad_query(Some(name), &format!("{name} accepts {accepts}."))
    })?;
    Ok(parsed.map(|time| time.with_timezone(&Utc)))
}

/// Rows of a page whose `limit` is not said, and the most that may be asked for.
pub(crate) const LIMIT: usize = 50;
pub(crate) const LIMIT_MAX: usize = 100;

/// Attempts on one page, said or not: few events have more, unless somebody retries one by hand again and again.
pub(crate) const ATTEMPTS_MAX: usize = 1_000;

/// How many rows a page has.
pub(crate) fn limit(text: Option<&str>) -> Result<usize, Problem> {
    limit_within(text, LIMIT, LIMIT_MAX)
}

/// The same for a list with bounds of its own.
pub(crate) fn limit_within(text: Option<&str>, usual: usize, most: usize) -> Result<usize, Problem> {
    let accepts = format!("a number from 1 to {most}");
    let limit = value::<usize>("limit", text, &accepts)?.unwrap_or(usual);
    if (1..=most).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::bad_query(Some("limit"), &format!("limit accepts {accepts}.")))
}
