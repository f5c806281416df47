//! `trunkline event-type`: what a tenant's types mean, over REST.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use trunkline_domain::EventType;

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
            let schema = schema.as_deref().map(read).transpose()?;
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
            let reply = client.call(Method::Delete, &path(event_type), &[], b"")?;
            if reply.status != 204 {
                reply.json::<Value>()?;
            }
            output.result(&json!({"type": event_type, "deleted": true}), || format!("forgot {event_type}"))
        }
    }
}

fn list(client: &Client, output: Output) -> anyhow::Result<()> {
    let mut found: Vec<Value> = Vec::new();
    let mut next_token: Option<String> = None;
    loop {
        let mut query = vec![("limit", "100".to_owned())];
        query.extend(next_token.take().map(|token| ("next_token", token)));
        let mut page: Value = client.get("/v1/event-types", &query)?.json()?;
        if let Value::Array(types) = page["event_types"].take() {
            found.extend(types);
        }
        next_token = page["next_token"].as_str().map(str::to_owned);
        if next_token.is_none() {
            break;
        }
    }
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

fn read(file: &Path) -> anyhow::Result<Box<RawValue>> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    let text = text.map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
    RawValue::from_string(text)
        .map_err(|error| Failure::Usage(format!("{} is not JSON: {error}", file.display())).into())
}

/// A type may hold any visible character; in a path those that mean something are percent-encoded.
fn path(event_type: &EventType) -> String {
    let mut path = "/v1/event-types/".to_owned();
    for character in event_type.as_str().chars() {
        if character.is_ascii_alphanumeric() || "-._~:".contains(character) {
            path.push(character);
        } else {
            path.push_str(&format!("%{:02X}", u32::from(character)));
        }
    }
    path
}
