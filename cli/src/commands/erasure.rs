//! `trunkline erasure`: payloads erased by predicate, over REST.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trunkline_domain::{ErasureId, EventId};

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
    /// Erase for good the payloads of events that meet every condition; at least one must stand
    Start(Predicate),
    /// List the receipts of an erasure, newest event first
    Show {
        /// Such as ers_0190163d8694739b8a3c0123456789ab
        erasure_id: ErasureId,
        /// How many at most
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
}

#[derive(Debug, Args)]
struct Predicate {
    /// Only those of events of this type
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only those of events created after this time, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    after: Option<String>,
    /// Only those of events created before this time
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// Only those with this member, such as customer.email:jo@example.com
    #[arg(long, value_name = "PATH:VALUE")]
    payload: Option<String>,
    /// Only count
    #[arg(long)]
    dry_run: bool,
    /// Only those of these events
    event_ids: Vec<EventId>,
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let client = options.api.client()?;
    match &options.action {
        Action::Start(predicate) => start(&client, predicate, *output),
        Action::Show { erasure_id, limit } => show(&client, *erasure_id, *limit as usize, *output),
    }
}

/// One request works for a few seconds, so this sends it until nothing is left.
fn start(client: &Client, predicate: &Predicate, output: Output) -> anyhow::Result<()> {
    let mut body = predicate.body();
    let counted = if predicate.dry_run { "would_erase" } else { "erased" };
    let mut total = 0;
    loop {
        let mut answer = client.ask(Method::Post, "/v1/erasures", Some(&body))?;
        total += answer[counted].as_u64().unwrap_or_default();
        output.ticker(&format!("{total} erased"));
        body["next_token"] = answer["next_token"].take();
        if answer["more"] == true {
            continue;
        }
        output.ticker("");
        let result = match &answer["erasure_id"] {
            Value::Null => json!({ counted: total }),
            erasure_id => json!({"erasure_id": erasure_id, counted: total}),
        };
        return output.result(&result, || match &answer["erasure_id"] {
            Value::Null => format!("{total} would be erased"),
            erasure_id => format!("{total} erased, receipts under {}", shown(erasure_id)),
        });
    }
}

fn show(client: &Client, erasure_id: ErasureId, wanted: usize, output: Output) -> anyhow::Result<()> {
    let path = format!("/v1/erasures/{erasure_id}");
    let (receipts, has_more) = client.list(&path, &[], "receipts", wanted)?;
    output.result(&json!({"erasure_id": erasure_id, "receipts": receipts, "has_more": has_more}), || {
        let columns = ["event_id", "erased_at", "payload_sha256"];
        let rows: Vec<[String; 3]> =
            receipts.iter().map(|receipt| columns.map(|name| shown(&receipt[name]))).collect();
        table(["EVENT", "ERASED", "SHA-256 OF WHAT WAS"], &rows)
    })
}

impl Predicate {
    fn body(&self) -> Value {
        let mut body = json!({"dry_run": self.dry_run});
        let texts = [
            ("type", &self.event_type),
            ("after", &self.after),
            ("before", &self.before),
            ("payload", &self.payload),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                body[name] = json!(value);
            }
        }
        if !self.event_ids.is_empty() {
            body["event_ids"] = json!(self.event_ids);
        }
        body
    }
}
