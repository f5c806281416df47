//! `trunkline endpoints`: a tenant's endpoints over REST.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use crate::api_client::{Client, Method};
use crate::api_options::ApiOptions;
use crate::failure::Failure;
use crate::json_text::indented;
use crate::output::{Output, printable, table};

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    api: ApiOptions,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List endpoints
    List,
    /// Show one endpoint with all its settings
    Show { endpoint_id: String },
    /// Create an endpoint; prints its webhook secret, this once
    Create {
        /// 1 to 100 characters, unique among the tenant's endpoints
        name: String,
        /// Where events are delivered
        url: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Change an endpoint; what is not named stays
    Update {
        endpoint_id: String,
        /// Where events are delivered from now on
        #[arg(long)]
        url: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Delete an endpoint: its open deliveries are cancelled, its history stays
    Delete { endpoint_id: String },
    /// Let new events match it again, and its open deliveries go on
    Enable { endpoint_id: String },
    /// New events do not match it; its open deliveries wait
    Disable { endpoint_id: String },
    /// Deliveries are made and wait
    Pause { endpoint_id: String },
    /// Deliveries that waited go on
    Resume { endpoint_id: String },
    /// Give it a new secret; the old one signs beside it for a while
    RotateSecret {
        endpoint_id: String,
        /// How long the old secret signs too
        #[arg(long, default_value_t = 86_400)]
        overlap_seconds: u32,
    },
    /// Send a signed test event to it, past filter and pause, and tell what happened
    Test { endpoint_id: String },
    /// Deliveries, attempts and latency over a time range
    Stats { endpoint_id: String },
}

/// What an endpoint can be told to do. A word `default` is spelled by leaving the option out when creating.
#[derive(Debug, Args)]
struct Settings {
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// Only events of these types; a prefix as order.*; may be repeated or comma-separated
    #[arg(long = "event-type", value_name = "TYPE", value_delimiter = ',')]
    event_types: Vec<String>,
    /// Only events whose payload satisfies this SQL/JSON path predicate, such as '$.total > 100'
    #[arg(long, value_name = "PREDICATE")]
    payload_filter: Option<String>,
    /// Sent with every attempt, such as 'X-Team: billing'; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Own facts about it, such as team=billing; may be repeated
    #[arg(long = "metadata", value_name = "KEY=VALUE")]
    metadata: Vec<String>,
    /// Deadline of an attempt, in milliseconds
    #[arg(long)]
    timeout_ms: Option<u32>,
    /// Waits between attempts, in milliseconds, comma-separated
    #[arg(long, value_delimiter = ',')]
    retry_schedule_ms: Vec<u64>,
    /// Attempts a second at most
    #[arg(long)]
    rate_per_second: Option<u32>,
    /// Attempts at one time at most
    #[arg(long)]
    in_flight_max: Option<u32>,
    /// Whether events with one ordering key wait for each other, and what a dead letter does to those behind it
    #[arg(long, value_enum)]
    ordering: Option<Ordering>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Ordering {
    /// They do not wait
    None,
    /// They wait; a dead letter is passed over
    Skip,
    /// They wait, for a dead letter too
    Block,
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let client = options.api.client()?;
    let (method, path, body) = match &options.action {
        Action::List => return list(&client, *output),
        Action::Show { endpoint_id } => (Method::Get, at(endpoint_id, ""), None),
        Action::Create { name, url, settings } => {
            let mut body = settings.to_json()?;
            body.insert("name".to_owned(), json!(name));
            body.insert("url".to_owned(), json!(url));
            (Method::Post, "/v1/endpoints".to_owned(), Some(Value::Object(body)))
        }
        Action::Update { endpoint_id, url, settings } => {
            let mut body = settings.to_json()?;
            body.extend(url.as_ref().map(|url| ("url".to_owned(), json!(url))));
            (Method::Patch, at(endpoint_id, ""), Some(Value::Object(body)))
        }
        Action::Delete { endpoint_id } => (Method::Delete, at(endpoint_id, ""), None),
        Action::Enable { endpoint_id } => (Method::Post, at(endpoint_id, "/enable"), None),
        Action::Disable { endpoint_id } => (Method::Post, at(endpoint_id, "/disable"), None),
        Action::Pause { endpoint_id } => (Method::Post, at(endpoint_id, "/pause"), None),
        Action::Resume { endpoint_id } => (Method::Post, at(endpoint_id, "/resume"), None),
        Action::RotateSecret { endpoint_id, overlap_seconds } => {
            let body = json!({"overlap_seconds": overlap_seconds});
            (Method::Post, at(endpoint_id, "/rotate-secret"), Some(body))
        }
        Action::Test { endpoint_id } => (Method::Post, at(endpoint_id, "/test"), None),
        Action::Stats { endpoint_id } => (Method::Get, at(endpoint_id, "/stats"), None),
    };
    let body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
    let reply = client.call(method, &path, &[], &body)?;
    if reply.is_empty() {
        return Ok(());
    }
    let answer: Value = reply.json()?;
    output.result(&answer, || printable(&indented(&answer.to_string())))
}

fn at(endpoint_id: &str, action: &str) -> String {
    format!("/v1/endpoints/{endpoint_id}{action}")
}

fn list(client: &Client, output: Output) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    let mut query: Vec<(&str, String)> = vec![("limit", "100".to_owned())];
    loop {
        let page: Value = client.get("/v1/endpoints", &query)?.json()?;
        for endpoint in page["endpoints"].as_array().into_iter().flatten() {
            if output.is_json() {
                output.line(&endpoint.to_string())?;
            }
            let text = |name: &str| printable(endpoint[name].as_str().unwrap_or("-"));
            let state = match (&endpoint["enabled"], &endpoint["paused"]) {
                (Value::Bool(false), _) => format!("disabled ({})", text("disabled_reason")),
                (_, Value::Bool(true)) => "paused".to_owned(),
                _ => "enabled".to_owned(),
            };
            rows.push([text("endpoint_id"), text("name"), state, text("url")]);
        }
        let Some(token) = page["next_token"].as_str() else { break };
        query.truncate(1);
        query.push(("next_token", token.to_owned()));
    }
    if output.is_json() {
        return Ok(());
    }
    output.line(&table(["ENDPOINT", "NAME", "STATE", "URL"], &rows))
}

impl Settings {
    /// The members that were named.
    fn to_json(&self) -> anyhow::Result<Map<String, Value>> {
        let mut body = Map::new();
        let mut put =
            |name: &str, value: Option<Value>| body.extend(value.map(|value| (name.to_owned(), value)));
        put("description", self.description.as_ref().map(|text| json!(text)));
        put("event_types", (!self.event_types.is_empty()).then(|| json!(self.event_types)));
        put("payload_filter", self.payload_filter.as_ref().map(|text| json!(text)));
        put("custom_headers", pairs(&self.headers, ':')?);
        put("metadata", pairs(&self.metadata, '=')?);
        put("timeout_ms", self.timeout_ms.map(Value::from));
        put("retry_schedule_ms", (!self.retry_schedule_ms.is_empty()).then(|| json!(self.retry_schedule_ms)));
        put("rate_per_second", self.rate_per_second.map(Value::from));
        put("in_flight_max", self.in_flight_max.map(Value::from));
        let ordering = |ordering| match ordering {
            Ordering::None => "none",
            Ordering::Skip => "skip",
            Ordering::Block => "block",
        };
        put("ordering", self.ordering.map(|one| json!(ordering(one))));
        Ok(body)
    }
}

/// An object of what was given as pairs; `None` = nothing was.
fn pairs(texts: &[String], separator: char) -> anyhow::Result<Option<Value>> {
    let mut object = Map::new();
    for text in texts {
        let Some((name, value)) = text.split_once(separator) else {
            return Err(Failure::Usage(format!("{text} is not NAME{separator} VALUE")).into());
        };
        object.insert(name.trim().to_owned(), json!(value.trim()));
    }
    Ok((!object.is_empty()).then_some(Value::Object(object)))
}
