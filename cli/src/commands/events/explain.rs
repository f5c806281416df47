use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use trunkline_domain::{EventId, EventType};

use crate::api_client::{Client, Method};
use crate::input;
use crate::output::{Output, shown, table};

/// A payload has at most 1 MiB by any settings; the api says which limit is in force.
const PAYLOAD_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// An event that might be published.
#[derive(Serialize)]
struct Draft<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    event_type: Option<&'a EventType>,
    payload: Box<RawValue>,
}

pub(super) fn run(client: &Client, event_id: EventId, output: Output) -> anyhow::Result<()> {
    tell(&client.ask(Method::Get, &format!("/v1/events/{event_id}/explain"), None)?, output)
}

pub(super) fn try_out(
    client: &Client,
    file: Option<&Path>,
    event_type: Option<&EventType>,
    output: Output,
) -> anyhow::Result<()> {
    let payload = input::json(file.unwrap_or(Path::new("-")), PAYLOAD_BYTES_MAX)?;
    let body = serde_json::to_vec(&Draft { event_type, payload })?;
    tell(&client.call(Method::Post, "/v1/match", &[], &body)?.json()?, output)
}

fn tell(answer: &Value, output: Output) -> anyhow::Result<()> {
    output.result(answer, || {
        let endpoints = answer["endpoints"].as_array().into_iter().flatten();
        let rows: Vec<[String; 6]> = endpoints
            .map(|one| {
                let matches = if one["matches"] == true { "yes" } else { "no" };
                [
                    shown(&one["endpoint_id"]),
                    shown(&one["name"]),
                    matches.to_owned(),
                    shown(&one["waits"]),
                    shown(&one["delivery"]["status"]),
                    shown(&one["detail"]),
                ]
            })
            .collect();
        table(["ENDPOINT", "NAME", "MATCHES", "WAITS", "DELIVERY", "WHY"], &rows)
    })
}
