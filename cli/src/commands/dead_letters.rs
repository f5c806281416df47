//! `trunkline dead-letters`: deliveries that used up their budget, over REST.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use trunkline_domain::{EndpointId, EventId};

use crate::api_client::{Client, Method};
use crate::api_options::ApiOptions;
use crate::output::{Output, shown, table};

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    api: ApiOptions,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List dead letters, newest first
    List {
        #[command(flatten)]
        filter: Filter,
        /// How many at most
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Attempt them again, with a fresh budget; without a filter or events, all
    Requeue(Selection),
    /// Put them aside for good; without a filter or events, all
    Purge(Selection),
}

#[derive(Debug, Args)]
struct Filter {
    /// Only those of this endpoint
    #[arg(long = "endpoint", value_name = "ENDPOINT_ID")]
    endpoint_id: Option<EndpointId>,
    /// Only those of events of this type
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only those created after this time, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    after: Option<String>,
    /// Only those created before this time
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
}

#[derive(Debug, Args)]
struct Selection {
    #[command(flatten)]
    filter: Filter,
    /// Only those of these events
    event_ids: Vec<EventId>,
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let client = options.api.client()?;
    match &options.action {
        Action::List { filter, limit } => list(&client, filter, *limit as usize, *output),
        Action::Requeue(selection) => settle(&client, "requeue", "requeued", selection, *output),
        Action::Purge(selection) => settle(&client, "purge", "purged", selection, *output),
    }
}

fn list(client: &Client, filter: &Filter, wanted: usize, output: Output) -> anyhow::Result<()> {
    let query: Vec<_> = filter.fields().collect();
    let (letters, has_more) = client.list("/v1/dead-letters", &query, "dead_letters", wanted)?;
    output.result(&json!({"dead_letters": letters, "has_more": has_more}), || {
        let columns = ["event_id", "endpoint_id", "type", "attempts", "last_status_code", "last_error"];
        let rows: Vec<[String; 6]> =
            letters.iter().map(|letter| columns.map(|name| shown(&letter[name]))).collect();
        table(["EVENT", "ENDPOINT", "TYPE", "ATTEMPTS", "CODE", "ERROR"], &rows)
    })
}

/// One request settles a bounded number and tells where to go on, so this goes on until nothing is left.
fn settle(
    client: &Client,
    action: &str,
    counted: &str,
    selection: &Selection,
    output: Output,
) -> anyhow::Result<()> {
    let mut body = selection.body();
    let mut total = 0;
    loop {
        let answer = client.ask(Method::Post, &format!("/v1/dead-letters/{action}"), Some(&body))?;
        total += answer[counted].as_u64().unwrap_or_default();
        output.ticker(&format!("{total} {counted}"));
        let Some(next_token) = answer.get("next_token") else { break };
        body["next_token"] = next_token.clone();
    }
    output.ticker("");
    output.result(&json!({ counted: total }), || format!("{total} {counted}"))
}

impl Filter {
    fn fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        [
            ("endpoint_id", self.endpoint_id.map(|id| id.to_string())),
            ("type", self.event_type.clone()),
            ("after", self.after.clone()),
            ("before", self.before.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }
}

impl Selection {
    fn body(&self) -> Value {
        let fields = self.filter.fields().map(|(name, value)| (name.to_owned(), Value::from(value)));
        let mut body: Map<_, _> = fields.collect();
        if !self.event_ids.is_empty() {
            body.insert("event_ids".to_owned(), json!(self.event_ids));
        }
        Value::Object(body)
    }
}
