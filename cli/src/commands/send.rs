//! `trunkline send`: publishes what is in a file or comes through a pipe.

mod many;
mod publisher;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use trunkline_boot::random::random_bytes;

use crate::api_options::ApiOptions;
use crate::failure::Failure;
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
    /// The events' type; else the api looks into the payload
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Sending again under the same key makes no second event; with --ndjson the line's number is appended
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Events under way at one time, with --ndjson
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    #[command(flatten)]
    api: ApiOptions,
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let publisher = Publisher { client: options.api.client()?, event_type: options.event_type.clone() };
    let input = open(options.file.as_deref())?;
    // A key of our own lets us try again after a broken connection without making a second event.
    let key = options
        .idempotency_key
        .clone()
        .unwrap_or_else(|| format!("{:032x}", u128::from_ne_bytes(random_bytes())));
    if options.ndjson {
        return many::publish_lines(input, &publisher, &key, options.concurrency.into(), *output);
    }
    let mut payload = Vec::new();
    input.take(PAYLOAD_BYTES_MAX).read_to_end(&mut payload).context("the input cannot be read")?;
    let event = publisher.publish(&payload, &key)?;
    output.result(&json!({"event_id": event.event_id, "status": event.status}), || {
        format!("{} {}", event.event_id, event.status)
    })
}

fn open(file: Option<&Path>) -> anyhow::Result<Box<dyn BufRead + Send>> {
    match file {
        Some(path) if path != Path::new("-") => {
            let file = File::open(path)
                .map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", path.display())))?;
            Ok(Box::new(BufReader::new(file)))
        }
        _ => Ok(Box::new(BufReader::new(io::stdin()))),
    }
}
