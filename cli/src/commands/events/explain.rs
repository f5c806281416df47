use serde_json::Value;
use trunkline_domain::EventId;

use crate::api_client::Client;
use crate::output::{Output, shown, table};

pub(super) fn run(client: &Client, event_id: EventId, output: Output) -> anyhow::Result<()> {
    let answer: Value = client.get(&format!("/v1/events/{event_id}/explain"), &[])?.json()?;
    output.result(&answer, || {
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
