//! `trunkline events`: a tenant's history over REST.

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use trunkline_domain::EventId;

use crate::api_client::{ApiOptions, Client};
use crate::output::{Output, printable, table};

/// The largest page the api gives.
const PAGE_MAX: usize = 100;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    api: ApiOptions,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List events, newest first
    List(ListOptions),
    /// Show one event: its payload, deliveries and every attempt
    Show {
        /// Such as evt_0190163d8694739b8a3c0123456789ab
        event_id: EventId,
    },
    /// Attempt FAILED events again, with a fresh budget
    Retry {
        /// One or more
        #[arg(required = true)]
        event_ids: Vec<EventId>,
    },
}

#[derive(Debug, Args)]
struct ListOptions {
    /// Only those that stand so
    #[arg(long, value_enum, ignore_case = true)]
    status: Option<Status>,
    /// Only those of this type
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only those created after this time, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    after: Option<String>,
    /// Only those created before this time
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "UPPER")]
enum Status {
    Pending,
    Delivered,
    Failed,
    Cancelled,
    Unrouted,
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let client = options.api.client()?;
    match &options.action {
        Action::List(filter) => list(&client, filter, *output),
        Action::Show { event_id } => show(&client, *event_id, *output),
        Action::Retry { event_ids } => event_ids
            .iter()
            .try_for_each(|event_id| retry(&client, *event_id, *output)),
    }
}

fn list(client: &Client, filter: &ListOptions, output: Output) -> anyhow::Result<()> {
    let wanted = filter.limit as usize;
    let status = filter
        .status
        .and_then(|status| Some(status.to_possible_value()?.get_name().to_owned()));
    let texts = [
        ("status", status),
        ("type", filter.event_type.clone()),
        ("after", filter.after.clone()),
        ("before", filter.before.clone()),
    ];
    let base: Vec<(&str, String)> = texts
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    let mut events: Vec<Value> = Vec::new();
    let mut next_token = None;
    // A page may be short, even empty, and not be the last: only a missing token says so.
    loop {
        let mut query = base.clone();
        query.push(("limit", PAGE_MAX.min(wanted - events.len()).to_string()));
        query.extend(next_token.take().map(|token| ("next_token", token)));
        let mut page = client.get("/v1/events", &query)?.json()?;
        if let Value::Array(found) = page["events"].take() {
            events.extend(found);
        }
        next_token = page["next_token"].as_str().map(str::to_owned);
        if next_token.is_none() || events.len() >= wanted {
            break;
        }
    }
    output.result(
        &json!({"events": events, "has_more": next_token.is_some()}),
        || {
            let rows: Vec<[String; 6]> = events.iter().map(row).collect();
            table(
                ["EVENT", "STATUS", "ATTEMPTS", "TYPE", "CREATED", "NEXT ATTEMPT"],
                &rows,
            )
        },
    )
}

fn row(event: &Value) -> [String; 6] {
    [
        "event_id",
        "status",
        "attempts",
        "type",
        "created_at",
        "next_attempt_at",
    ]
    .map(|name| shown(&event[name]))
}

fn show(client: &Client, event_id: EventId, output: Output) -> anyhow::Result<()> {
    let event = client.get(&format!("/v1/events/{event_id}"), &[])?.json()?["event"].take();
    let attempts = client
        .get(&format!("/v1/events/{event_id}/attempts"), &[])?
        .json()?["attempts"]
        .take();
    output.result(&json!({"event": event, "attempts": attempts}), || {
        describe(&event, &attempts)
    })
}

fn describe(event: &Value, attempts: &Value) -> String {
    let fields = [
        "event_id",
        "status",
        "type",
        "attempts",
        "created_at",
        "last_attempt_at",
        "next_attempt_at",
    ];
    let mut lines: Vec<String> = fields
        .iter()
        .chain(&["target_url", "error_message"])
        .map(|name| format!("{name:<16} {}", shown(&event[*name])))
        .collect();
    let rows: Vec<[String; 5]> = attempts
        .as_array()
        .into_iter()
        .flatten()
        .map(|attempt| {
            let number = if attempt["number"].is_null() {
                &attempt["attempt"]
            } else {
                &attempt["number"]
            };
            let [started, code, outcome, error] =
                ["started_at", "status_code", "outcome", "error"].map(|name| shown(&attempt[name]));
            [shown(number), started, code, outcome, error]
        })
        .collect();
    if !rows.is_empty() {
        lines.push(String::new());
        lines.push(table(["ATTEMPT", "STARTED", "CODE", "OUTCOME", "ERROR"], &rows));
    }
    let payload = serde_json::to_string_pretty(&event["payload"]).unwrap_or_default();
    lines.push(format!("\npayload\n{payload}"));
    printable(&lines.join("\n"))
}

fn retry(client: &Client, event_id: EventId, output: Output) -> anyhow::Result<()> {
    let answer = client
        .post(&format!("/v1/events/{event_id}/retry"), &[], b"")
        .and_then(|reply| reply.json())
        .with_context(|| format!("{event_id} was not retried"))?;
    output.result(&answer, || format!("{event_id} {}", shown(&answer["status"])))
}

/// A field for a person: text without quotes, nothing as a dash.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text),
        other => other.to_string(),
    }
}
