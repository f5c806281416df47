//! What a publisher says of an event in headers.

use actix_web::http::header::{HeaderMap, HeaderValue};
use chrono::{DateTime, Utc};
use trunkline_domain::{EventType, OrderingKey};

use super::draft::TooFarAhead;
use crate::problem::Problem;

const EVENT_TYPE: &str = "Trunkline-Event-Type";
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
const DELIVER_AT: &str = "Trunkline-Deliver-At";
const ORDERING_KEY: &str = "Trunkline-Ordering-Key";
const IDEMPOTENCY_KEY_LENGTH_MAX: usize = 255;

pub(super) fn named_type(headers: &HeaderMap) -> Result<Option<EventType>, Problem> {
    let Some(value) = only(headers, EVENT_TYPE)? else {
        return Ok(None);
    };
    let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
    parsed.map(Some).ok_or_else(|| {
        Problem::bad_header(
            EVENT_TYPE,
            "Trunkline-Event-Type accepts 1 to 128 visible ASCII characters without spaces.",
        )
    })
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = only(headers, IDEMPOTENCY_KEY)? else {
        return Ok(None);
    };
    let key = value.to_str().ok().filter(|text| is_idempotency_key(text));
    key.map(|key| Some(key.to_owned())).ok_or_else(|| {
        Problem::bad_header(
            IDEMPOTENCY_KEY,
            "Idempotency-Key accepts 1 to 255 visible ASCII characters without spaces.",
        )
    })
}

/// Whether it may be an Idempotency-Key, in a header or a batch.
pub(super) fn is_idempotency_key(text: &str) -> bool {
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    is_visible && (1..=IDEMPOTENCY_KEY_LENGTH_MAX).contains(&text.len())
}

pub(super) fn deliver_at(headers: &HeaderMap) -> Result<Option<DateTime<Utc>>, Problem> {
    let Some(value) = only(headers, DELIVER_AT)? else {
        return Ok(None);
    };
    let parsed = value.to_str().ok().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    parsed.map(|at| Some(at.to_utc())).ok_or_else(|| {
        Problem::bad_header(DELIVER_AT, "Trunkline-Deliver-At accepts a time as 2030-01-31T12:00:00Z.")
    })
}

pub(super) fn too_far_ahead(_: TooFarAhead) -> Problem {
    Problem::bad_header(DELIVER_AT, "Trunkline-Deliver-At lies at most 30 days ahead.")
}

pub(super) fn ordering_key(headers: &HeaderMap) -> Result<Option<OrderingKey>, Problem> {
    let Some(value) = only(headers, ORDERING_KEY)? else {
        return Ok(None);
    };
    let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
    parsed.map(Some).ok_or_else(|| {
        let detail = "Trunkline-Ordering-Key accepts 1 to 256 visible ASCII characters without spaces.";
        Problem::bad_header(ORDERING_KEY, detail)
    })
}

/// Refuses what says something of one event where there are many.
pub(super) fn refuse_those_of_one_event(headers: &HeaderMap) -> Result<(), Problem> {
    for (name, member) in [
        (EVENT_TYPE, "type"),
        (IDEMPOTENCY_KEY, "idempotency_key"),
        (DELIVER_AT, "deliver_at"),
        (ORDERING_KEY, "ordering_key"),
    ] {
        if headers.contains_key(name) {
            let detail =
                format!("{name} is for one event; put {member} into the items of the batch instead.");
            return Err(Problem::bad_header(name, &detail));
        }
    }
    Ok(())
}

/// The value of a header that is there once. Of two, nobody knows which was meant.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut values = headers.get_all(name);
    let value = values.next();
    if values.next().is_some() {
        return Err(Problem::bad_header(name, &format!("{name} is sent once at most.")));
    }
    Ok(value)
}
