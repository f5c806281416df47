//! Publishes a line each, all in one batch.

use std::io::{BufRead, Read as _};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::publisher::{Accepted, Publisher};
use crate::failure::Failure;
use crate::output::Output;

/// A batch has 8 MiB at most; the api says so of one that is larger.
const BATCH_BYTES_MAX: u64 = 9 * 1024 * 1024;

#[derive(Serialize)]
struct Batch<'a> {
    events: Vec<Item<'a>>,
}

/// One event; its payload stays byte for byte what its line is.
#[derive(Serialize)]
struct Item<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    event_type: Option<&'a str>,
    payload: Box<RawValue>,
    idempotency_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ordering_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliver_at: Option<&'a str>,
}

/// Publishes every line that is not blank, or none of them.
///
/// # Errors
/// A line is not JSON, or the api refuses the batch, naming the item by its place from 0.
pub(super) fn publish_lines(
    input: Box<dyn BufRead + Send>,
    publisher: &Publisher,
    key_prefix: &str,
    output: Output,
) -> anyhow::Result<()> {
    let mut events = Vec::new();
    for (line, number) in input.take(BATCH_BYTES_MAX).lines().zip(1_u64..) {
        let line = line.with_context(|| format!("line {number} cannot be read"))?;
        if line.trim().is_empty() {
            continue;
        }
        let payload = RawValue::from_string(line).map_err(|error| {
            Failure::Usage(format!("line {number} is not JSON; nothing was sent: {error}"))
        })?;
        events.push(Item {
            event_type: publisher.event_type.as_deref(),
            payload,
            idempotency_key: format!("{key_prefix}-{number}"),
            ordering_key: publisher.ordering_key.as_deref(),
            deliver_at: publisher.deliver_at.as_deref(),
        });
    }
    let body = serde_json::to_vec(&Batch { events })?;
    let answer: Value = publisher.post("/v1/events/batch", &[], &body)?.json()?;
    let events = answer["events"].as_array().into_iter().flatten();
    let accepted = events.map(Accepted::of).collect::<anyhow::Result<Vec<_>>>()?;
    output.result(&answer, || {
        accepted.iter().map(|one| format!("{} {}", one.event_id, one.status)).collect::<Vec<_>>().join("\n")
    })
}
