//! `trunkline event-type`: what a tenant's types mean, over REST.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use trunkline_domain::EventType;

use crate::api_client::{Client, Method, escaped};
use crate::api_options::ApiOptions;
use crate::input;
use crate::json_text::indented;
use crate::output::{Output, printable, table};

/// More than a schema may have; the api says which limit is in force.
const SCHEMA_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    api: ApiOptions,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the types that were described
    List,
    /// Show one with its schema
    Show {
        /// Such as order.created
        event_type: EventType,
    },
    /// Describe a type; whatever was said of it before is replaced
    Describe {
        /// Such as order.created
        event_type: EventType,
        /// What it means
        #[arg(long)]
        description: Option<String>,
        /// A file with the JSON Schema of its payloads, or - for standard input
        #[arg(long, value_name = "FILE")]
        schema: Option<PathBuf>,
        /// Refuse payloads that do not fit the schema
        #[arg(long, requires = "schema")]
        enforced: bool,
        /// Keep its events for so many days only
        #[arg(long, value_name = "DAYS")]
        retention_days: Option<u32>,
    },
    /// Forget what was said of a type
    Delete {
        /// Such as order.created
        event_type: EventType,
    },
}

/// What PUT takes; the schema as it is in its file.
#[derive(Serialize)]
struct Description<'a> {
    description: Option<&'a str>,
    schema: Option<Box<RawValue>>,
    enforced: bool,
    retention_days: Option<u32>,
}

/// An answer, kept as it came.
#[derive(Deserialize)]
struct Answer {
    event_type: Box<RawValue>,
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let client = options.api.client()?;
    match &options.action {
        Action::List => list(&client, *output),
        Action::Show { event_type } => {
            let answer: Answer = client.get(&path(event_type), &[])?.json()?;
            shown(&answer, *output)
        }
        Action::Describe { event_type, description, schema, enforced, retention_days } => {
            let schema = schema.as_deref().map(|file| input::json(file, SCHEMA_BYTES_MAX)).transpose()?;
            let body = Description {
                description: description.as_deref(),
                schema,
                enforced: *enforced,
                retention_days: *retention_days,
            };
            let answer: Answer =
                client.call(Method::Put, &path(event_type), &[], &serde_json::to_vec(&body)?)?.json()?;
            shown(&answer, *output)
        }
        Action::Delete { event_type } => {
            client.ask(Method::Delete, &path(event_type), None)?;
            output.result(&json!({"type": event_type, "deleted": true}), || format!("forgot {event_type}"))
        }
    }
}

fn list(client: &Client, output: Output) -> anyhow::Result<()> {
    let (found, _) = client.list("/v1/event-types", &[], "event_types", usize::MAX)?;
    output.result(&json!({"event_types": found}), || {
        let text = |value: &Value| printable(value.as_str().unwrap_or("-"));
        let rows: Vec<[String; 3]> = found
            .iter()
            .map(|one| {
                let schema = match (&one["has_schema"], &one["enforced"]) {
                    (_, Value::Bool(true)) => "enforced",
                    (Value::Bool(true), _) => "yes",
                    _ => "no",
                };
                [text(&one["type"]), schema.to_owned(), text(&one["description"])]
            })
            .collect();
        table(["TYPE", "SCHEMA", "DESCRIPTION"], &rows)
    })
}

fn shown(answer: &Answer, output: Output) -> anyhow::Result<()> {
    if output.is_json() {
        return output.line(&format!("{{\"event_type\":{}}}", answer.event_type));
    }
    output.line(&printable(&indented(answer.event_type.get())))
}

/// A type may hold any visible character.
fn path(event_type: &EventType) -> String {
    format!("/v1/event-types/{}", escaped(event_type.as_str()))
}
