//! `trunkline endpoints`: a tenant's endpoints over REST.

mod settings;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::api_client::{Client, Method, with_query};
use crate::api_options::ApiOptions;
use crate::failure::Failure;
use crate::input::ChosenSecret;
use crate::output::{Output, shown, table};
use settings::{Setting, Settings};

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
        secret: ChosenSecret,
        #[command(flatten)]
        settings: Settings,
    },
    /// Change an endpoint; what is not named stays
    Update {
        endpoint_id: String,
        /// What it is called from now on
        #[arg(long)]
        name: Option<String>,
        /// Where events are delivered from now on
        #[arg(long)]
        url: Option<String>,
        #[command(flatten)]
        settings: Settings,
        /// Back to the default: payload-filter = none, timeout-ms = the installation's; may be repeated
        #[arg(long, value_enum, value_name = "SETTING", value_delimiter = ',')]
        default: Vec<Setting>,
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
        #[command(flatten)]
        secret: ChosenSecret,
    },
    /// Send a signed test event to it, past filter and pause, and tell what happened
    Test { endpoint_id: String },
    /// Deliveries, attempts and latency over a time range
    Stats {
        endpoint_id: String,
        /// Of events created after this time, such as 2026-01-31T12:00:00Z; else of the last 24 hours
        #[arg(long, value_name = "TIME")]
        after: Option<String>,
        /// Of events created before this time
        #[arg(long, value_name = "TIME")]
        before: Option<String>,
    },
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let client = options.api.client()?;
    let (method, path, body) = match &options.action {
        Action::List => return list(&client, *output),
        Action::Show { endpoint_id } => (Method::Get, at(endpoint_id, ""), None),
        Action::Create { name, url, secret, settings } => {
            let mut body = settings.to_json()?;
            let secret = secret.read()?;
            body.extend(secret.map(|secret| ("webhook_secret".to_owned(), json!(secret.as_str()))));
            body.insert("name".to_owned(), json!(name));
            body.insert("url".to_owned(), json!(url));
            (Method::Post, "/v1/endpoints".to_owned(), Some(Value::Object(body)))
        }
        Action::Update { endpoint_id, name, url, settings, default } => {
            let mut body = settings.to_json()?;
            body.extend(name.as_ref().map(|name| ("name".to_owned(), json!(name))));
            body.extend(url.as_ref().map(|url| ("url".to_owned(), json!(url))));
            for setting in default.iter().map(|setting| setting.name()) {
                if body.insert(setting.to_owned(), Value::Null).is_some() {
                    return Err(Failure::Usage(format!("{setting} is given a value and --default")).into());
                }
            }
            (Method::Patch, at(endpoint_id, ""), Some(Value::Object(body)))
        }
        Action::Delete { endpoint_id } => (Method::Delete, at(endpoint_id, ""), None),
        Action::Enable { endpoint_id } => (Method::Post, at(endpoint_id, "/enable"), None),
        Action::Disable { endpoint_id } => (Method::Post, at(endpoint_id, "/disable"), None),
        Action::Pause { endpoint_id } => (Method::Post, at(endpoint_id, "/pause"), None),
        Action::Resume { endpoint_id } => (Method::Post, at(endpoint_id, "/resume"), None),
        Action::RotateSecret { endpoint_id, overlap_seconds, secret } => {
            let mut body = json!({"overlap_seconds": overlap_seconds});
            if let Some(secret) = secret.read()? {
                body["webhook_secret"] = json!(secret.as_str());
            }
            (Method::Post, at(endpoint_id, "/rotate-secret"), Some(body))
        }
        Action::Test { endpoint_id } => (Method::Post, at(endpoint_id, "/test"), None),
        Action::Stats { endpoint_id, after, before } => {
            let range = [("after", after), ("before", before)];
            let query: Vec<(&str, String)> =
                range.into_iter().filter_map(|(name, time)| Some((name, time.clone()?))).collect();
            (Method::Get, with_query(&at(endpoint_id, "/stats"), &query), None)
        }
    };
    output.answer(&client.ask(method, &path, body.as_ref())?)
}

fn at(endpoint_id: &str, action: &str) -> String {
    format!("/v1/endpoints/{endpoint_id}{action}")
}

fn list(client: &Client, output: Output) -> anyhow::Result<()> {
    let (endpoints, _) = client.list("/v1/endpoints", &[], "endpoints", usize::MAX)?;
    output.result(&json!({"endpoints": endpoints}), || {
        let rows: Vec<[String; 4]> = endpoints.iter().map(row).collect();
        table(["ENDPOINT", "NAME", "STATE", "URL"], &rows)
    })
}

fn row(endpoint: &Value) -> [String; 4] {
    let text = |name: &str| shown(&endpoint[name]);
    let state = match (&endpoint["enabled"], &endpoint["paused"]) {
        (Value::Bool(false), _) => format!("disabled ({})", text("disabled_reason")),
        (_, Value::Bool(true)) => "paused".to_owned(),
        _ => "enabled".to_owned(),
    };
    [text("endpoint_id"), text("name"), state, text("url")]
}
