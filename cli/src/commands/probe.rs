//! `trunkline probe`: a health check for containers that have no curl.

use std::time::Duration;

use anyhow::bail;
use clap::Args;

use crate::api_client::agent;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What to ask, such as http://127.0.0.1:8082/readyz
    url: String,
    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let answer = agent(options.timeout).get(&options.url).call().map_err(|error| match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            Failure::Usage(format!("{} is not a URL: {error}", options.url))
        }
        error => Failure::Unavailable(format!("{} does not answer: {error}", options.url)),
    })?;
    let status = answer.status().as_u16();
    if status != 200 {
        bail!("{} answers {status}", options.url);
    }
    let value = serde_json::json!({"url": options.url, "status": status});
    output.result(&value, || format!("{} answers 200", options.url))
}
