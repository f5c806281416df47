use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use trunkline_domain::EventId;

use crate::api_client::Client;
use crate::json_text::indented;
use crate::output::{Output, printable, shown, table};

/// The api's answer, kept as it came: payloads hold numbers that no parser keeps.
#[derive(Deserialize)]
struct EventAnswer {
    event: Box<RawValue>,
}

/// What a person is shown of an event.
#[derive(Deserialize)]
struct Event {
    event_id: Value,
    status: Value,
    #[serde(rename = "type")]
    event_type: Value,
    attempts: Value,
    created_at: Value,
    last_attempt_at: Value,
    next_attempt_at: Value,
    target_url: Value,
    error_message: Value,
    payload: Option<Box<RawValue>>,
}

pub(super) fn run(client: &Client, event_id: EventId, output: Output) -> anyhow::Result<()> {
    let EventAnswer { event } = client.get(&format!("/v1/events/{event_id}"), &[])?.json()?;
    let attempts = attempts(client, event_id)?;
    if output.is_json() {
        return output.line(&format!("{{\"event\":{event},\"attempts\":{attempts}}}"));
    }
    output.line(&printable(&describe(&serde_json::from_str(event.get())?, &attempts)))
}

/// All of them, page by page.
fn attempts(client: &Client, event_id: EventId) -> anyhow::Result<Value> {
    let (path, mut all) = (format!("/v1/events/{event_id}/attempts"), Vec::new());
    let mut next_token: Option<String> = None;
    loop {
        let query: Vec<_> = next_token.iter().map(|token| ("next_token", token.clone())).collect();
        let mut page: Value = client.get(&path, &query)?.json()?;
        all.extend(page["attempts"].as_array_mut().map(std::mem::take).unwrap_or_default());
        next_token = page["next_token"].as_str().map(str::to_owned);
        if next_token.is_none() {
            return Ok(Value::from(all));
        }
    }
}

fn describe(event: &Event, attempts: &Value) -> String {
    let fields = [
        ("event", &event.event_id),
        ("status", &event.status),
        ("type", &event.event_type),
        ("attempts", &event.attempts),
        ("created", &event.created_at),
        ("last attempt", &event.last_attempt_at),
        ("next attempt", &event.next_attempt_at),
        ("target", &event.target_url),
        ("error", &event.error_message),
    ];
    let mut parts: Vec<String> =
        vec![fields.map(|(name, value)| format!("{name:<13}{}", shown(value))).join("\n")];
    let rows: Vec<[String; 5]> = attempts
        .as_array()
        .into_iter()
        .flatten()
        .map(|attempt| {
            ["number", "started_at", "status_code", "outcome", "error"].map(|name| shown(&attempt[name]))
        })
        .collect();
    if !rows.is_empty() {
        parts.push(table(["ATTEMPT", "STARTED", "CODE", "OUTCOME", "ERROR"], &rows));
    }
    let payload = event.payload.as_ref().map_or("erased".to_owned(), |payload| indented(payload.get()));
    parts.push(format!("payload\n{payload}"));
    parts.join("\n\n")
}
