//! `trunkline api-keys`: a tenant's own keys, over REST.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trunkline_domain::KeyId;

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
    /// Create a key and print it, this once; it may do nothing that the calling one may not
    Create {
        /// What it is for, 1 to 100 characters
        #[arg(long, default_value = "cli")]
        name: String,
        /// It may look, but neither publish nor change anything
        #[arg(long)]
        read_only: bool,
        /// It may publish and change things, but look at nothing
        #[arg(long, conflicts_with = "read_only")]
        write_only: bool,
        /// From when on it is refused, such as 2027-01-31T12:00:00Z; else it is good until it is revoked
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
    },
    /// List the keys, revoked ones too; never the keys themselves
    List,
    /// Revoke a key: every api process refuses it within 5 seconds
    Revoke {
        /// The key's id, as the list shows it
        key_id: KeyId,
    },
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let client = options.api.client()?;
    match &options.action {
        Action::Create { name, read_only, write_only, expires_at } => {
            let scopes = [("read", !write_only), ("write", !read_only)];
            let scopes: Vec<&str> =
                scopes.into_iter().filter_map(|(scope, is_given)| is_given.then_some(scope)).collect();
            let mut body = json!({"name": name, "scopes": scopes});
            if let Some(time) = expires_at {
                body["expires_at"] = json!(time);
            }
            output.answer(&client.ask(Method::Post, "/v1/api-keys", Some(&body))?)
        }
        Action::List => list(&client, *output),
        Action::Revoke { key_id } => {
            output.answer(&client.ask(Method::Delete, &format!("/v1/api-keys/{key_id}"), None)?)
        }
    }
}

fn list(client: &Client, output: Output) -> anyhow::Result<()> {
    let answer = client.ask(Method::Get, "/v1/api-keys", None)?;
    output.result(&answer, || {
        let rows: Vec<[String; 6]> = answer["api_keys"].as_array().into_iter().flatten().map(row).collect();
        table(["KEY ID", "BEGINS", "NAME", "SCOPES", "LAST USED", "STATE"], &rows)
    })
}

fn row(key: &Value) -> [String; 6] {
    let state = match (&key["revoked_at"], &key["expires_at"]) {
        (Value::String(revoked), _) => format!("revoked {revoked}"),
        (_, Value::String(expires)) => format!("until {expires}"),
        _ => "valid".to_owned(),
    };
    let scopes: Vec<String> = key["scopes"].as_array().into_iter().flatten().map(shown).collect();
    [
        shown(&key["key_id"]),
        format!("{}...", shown(&key["prefix"])),
        shown(&key["name"]),
        scopes.join(","),
        shown(&key["last_used_at"]),
        state,
    ]
}
