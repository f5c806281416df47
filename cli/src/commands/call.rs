//! `trunkline call`: any route of the api, with the key and address that the other commands find by themselves.

use std::io::{self, Read as _};
use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use serde_json::value::RawValue;

use crate::api_client::{ANSWER_BYTES_MAX, Method};
use crate::api_options::ApiOptions;
use crate::failure::Failure;
use crate::input;
use crate::json_text::indented;
use crate::output::{Output, printable};

/// The largest body that is read from standard input: that of a batch.
const BODY_BYTES_MAX: u64 = 8 * 1024 * 1024;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  trunkline call get /v1/stats\n  trunkline call post /v1/replays '{\"status\":\"FAILED\",\"dry_run\":true}'\n  trunkline call post /v1/events/batch - < batch.json\n\nEvery route: GET /v1/docs in a browser."
)]
pub(crate) struct Options {
    /// What to do with it
    #[arg(value_enum, ignore_case = true)]
    method: Method,
    /// Such as /v1/events?status=FAILED
    path: String,
    /// A JSON body; - reads it from standard input
    body: Option<String>,
    /// Sent along, such as 'Idempotency-Key: order-1001'; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    #[command(flatten)]
    api: ApiOptions,
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    if !options.path.starts_with('/') {
        return Err(Failure::Usage(format!("{} is not a path: write /v1/...", options.path)).into());
    }
    let body = match options.body.as_deref() {
        Some("-") => input::read(Path::new("-"), BODY_BYTES_MAX)?,
        body => body.unwrap_or_default().as_bytes().to_vec(),
    };
    let headers: Vec<(&str, &str)> =
        options.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut answer = options.api.client()?.open(options.method, &options.path, &headers, &body)?;
    // Pages, and exports of any size, are passed on as they come in.
    if !answer.is_json {
        io::copy(&mut answer.body, &mut io::stdout().lock()).context("the answer broke off")?;
        return Ok(());
    }
    let mut text = Vec::new();
    answer.body.take(ANSWER_BYTES_MAX).read_to_end(&mut text).context("the answer broke off")?;
    let answer: Box<RawValue> = serde_json::from_slice(&text).context("the api's answer is not JSON")?;
    output.line(&if output.is_json() { answer.get().to_owned() } else { printable(&indented(answer.get())) })
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("accepts NAME: VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
