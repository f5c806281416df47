use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::api_client::Client;
use crate::output::{Output, shown, table};

/// The largest page the api gives.
const PAGE_MAX: usize = 100;

#[derive(Debug, Args)]
pub(super) struct Filter {
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
    /// Only those with a delivery to this endpoint, such as ep_0190163d8694739b8a3c0123456789ab
    #[arg(long, value_name = "ENDPOINT")]
    endpoint_id: Option<String>,
    /// Only those whose payload has this member, such as order.id:42
    #[arg(long, value_name = "PATH:VALUE")]
    payload: Option<String>,
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

pub(super) fn run(client: &Client, filter: &Filter, limit: u32, output: Output) -> anyhow::Result<()> {
    let wanted = limit as usize;
    let base = filter.query();
    let mut events: Vec<Value> = Vec::new();
    let mut next_token = None;
    // A page may be short, even empty, and not be the last: only a missing token says so.
    loop {
        let mut query = base.clone();
        query.push(("limit", PAGE_MAX.min(wanted - events.len()).to_string()));
        query.extend(next_token.take().map(|token| ("next_token", token)));
        let mut page: Value = client.get("/v1/events", &query)?.json()?;
        if let Value::Array(found) = page["events"].take() {
            events.extend(found);
        }
        next_token = page["next_token"].as_str().map(str::to_owned);
        if next_token.is_none() || events.len() >= wanted {
            break;
        }
    }
    output.result(&json!({"events": events, "has_more": next_token.is_some()}), || {
        let columns = ["event_id", "status", "attempts", "type", "created_at", "next_attempt_at"];
        let rows: Vec<[String; 6]> =
            events.iter().map(|event| columns.map(|name| shown(&event[name]))).collect();
        table(["EVENT", "STATUS", "ATTEMPTS", "TYPE", "CREATED", "NEXT ATTEMPT"], &rows)
    })
}

impl Filter {
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let status = self.status.and_then(|status| status.to_possible_value());
        [
            ("status", status.map(|value| value.get_name().to_owned())),
            ("type", self.event_type.clone()),
            ("after", self.after.clone()),
            ("before", self.before.clone()),
            ("endpoint_id", self.endpoint_id.clone()),
            ("payload", self.payload.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}
