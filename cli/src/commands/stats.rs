//! `trunkline stats`: how a tenant's deliveries fare, over REST.

use clap::Args;
use serde_json::Value;

use crate::api_options::ApiOptions;
use crate::output::{Output, table};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Of events created after this time, such as 2026-01-31T12:00:00Z; else of the last 24 hours
    #[arg(long, value_name = "TIME")]
    after: Option<String>,
    /// Of events created before this time
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// 1m, 5m, 1h or 1d
    #[arg(long, value_name = "WIDTH")]
    bucket: Option<String>,
    /// Only deliveries to this endpoint
    #[arg(long, value_name = "ENDPOINT")]
    endpoint_id: Option<String>,
    /// Only events of this type
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    #[command(flatten)]
    api: ApiOptions,
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let query: Vec<(&str, String)> = [
        ("after", &options.after),
        ("before", &options.before),
        ("bucket", &options.bucket),
        ("endpoint_id", &options.endpoint_id),
        ("type", &options.event_type),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value.clone()?)))
    .collect();
    let stats: Value = options.api.client()?.get("/v1/stats", &query)?.json()?;
    output.result(&stats, || {
        let mut rows: Vec<[String; 9]> = stats["buckets"].as_array().into_iter().flatten().map(row).collect();
        rows.push(row(&stats["total"]));
        let head =
            ["FROM", "EVENTS", "DELIVERED", "FAILED", "DEAD", "ATTEMPTS", "SUCCESS", "P50 MS", "P99 MS"];
        table(head, &rows)
    })
}

fn row(figures: &Value) -> [String; 9] {
    let count = |value: &Value| value.as_i64().unwrap_or_default().to_string();
    let number = |value: &Value, factor: f64, unit: &str| {
        value.as_f64().map_or_else(|| "-".to_owned(), |value| format!("{:.1}{unit}", value * factor))
    };
    let (deliveries, latency) = (&figures["deliveries"], &figures["latency_ms"]);
    [
        figures["starts_at"].as_str().unwrap_or("TOTAL").to_owned(),
        count(&figures["events"]),
        count(&deliveries["delivered"]),
        count(&deliveries["failed"]),
        count(&deliveries["dead_letters"]),
        count(&figures["attempts"]["total"]),
        number(&figures["success_rate"], 100.0, " %"),
        number(&latency["p50"], 1.0, ""),
        number(&latency["p99"], 1.0, ""),
    ]
}
