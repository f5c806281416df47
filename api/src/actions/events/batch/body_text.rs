//! A batch as it is written. By itself, because `fuzz` reads the same with as little else as possible.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Events to be stored together, each read by itself, so that a problem can name it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchRequest<'a> {
    #[serde(borrow)]
    pub(crate) events: Vec<&'a RawValue>,
}

/// One event of a batch. The payload is where it lies in the body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ItemRequest<'a> {
    pub(crate) r#type: Option<String>,
    #[serde(borrow)]
    pub(crate) payload: &'a RawValue,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) ordering_key: Option<String>,
    pub(crate) deliver_at: Option<DateTime<Utc>>,
}
