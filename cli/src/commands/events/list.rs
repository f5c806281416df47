use clap::{Args, ValueEnum};
use serde_json::json;

use crate::api_client::Client;
use crate::output::{Output, shown, table};

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
    let (events, has_more) = client.list("/v1/events", &filter.query(), "events", limit as usize)?;
    output.result(&json!({"events": events, "has_more": has_more}), || {
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
