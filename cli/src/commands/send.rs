//! `trunkline send`: publishes what is in a file or comes through a pipe.

mod many;
mod publisher;
mod together;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use trunkline_boot::random::random_bytes;

use crate::api_options::ApiOptions;
use crate::input;
use crate::output::Output;
use publisher::Publisher;

/// A payload has at most 1 MiB by any settings; the api says which limit is in force.
const PAYLOAD_BYTES_MAX: u64 = 2 * 1024 * 1024;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A file with a JSON object; `-` or nothing reads standard input
    file: Option<PathBuf>,
    /// One JSON object a line, an event each; every line is sent byte for byte
    #[arg(long)]
    ndjson: bool,
    /// One JSON object a line, an event each, 1,000 at most: all of them are published, or none
    #[arg(long, conflicts_with = "ndjson")]
    batch: bool,
    /// The events' type; else the api looks into the payload
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Sending again under the same key makes no second event; with --ndjson and --batch the line's number is appended
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Not delivered before this time, at most 30 days ahead, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    deliver_at: Option<String>,
    /// Endpoints that deliver in order attempt events of one key one after another
    #[arg(long, value_name = "KEY")]
    ordering_key: Option<String>,
    /// Events under way at one time, with --ndjson
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    #[command(flatten)]
    api: ApiOptions,
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let publisher = Publisher {
        client: options.api.client()?,
        event_type: options.event_type.clone(),
        deliver_at: options.deliver_at.clone(),
        ordering_key: options.ordering_key.clone(),
    };
    let input = input::open(options.file.as_deref().unwrap_or(Path::new("-")))?;
    // A key of our own lets us try again after a broken connection without making a second event.
    let key = options
        .idempotency_key
        .clone()
        .unwrap_or_else(|| format!("{:032x}", u128::from_ne_bytes(random_bytes())));
    if options.ndjson {
        return many::publish_lines(input, &publisher, &key, options.concurrency.into(), *output);
    }
    if options.batch {
        return together::publish_lines(input, &publisher, &key, *output);
    }
    let mut payload = Vec::new();
    input.take(PAYLOAD_BYTES_MAX).read_to_end(&mut payload).context("the input cannot be read")?;
    let event = publisher.publish(&payload, &key)?;
    output.result(&json!({"event_id": event.event_id, "status": event.status}), || {
        format!("{} {}", event.event_id, event.status)
    })
}
