//! `trunkline replay`: deliveries of the past made again, over REST.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};
use trunkline_domain::{EndpointId, ReplayId};

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
    /// Start a replay of what meets every condition; without any, of all that came to its end in the last 24 hours
    Start(Predicate),
    /// List replays, newest first
    List {
        /// How many at most
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Show a replay and its progress
    Show(Named),
    /// Make no more deliveries due until it is resumed
    Pause(Named),
    /// Go on with a paused replay
    Resume(Named),
    /// End a replay; what it made due already stays so
    Cancel(Named),
}

#[derive(Debug, Args)]
struct Named {
    /// Such as rpl_0190163d8694739b8a3c0123456789ab
    replay_id: ReplayId,
}

#[derive(Debug, Args)]
struct Predicate {
    /// Deliveries that ended so, or events that no endpoint matched; else all of these
    #[arg(long, value_enum, ignore_case = true)]
    status: Option<Status>,
    /// Only events of this type
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only events created after this time, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    after: Option<String>,
    /// Only events created before this time
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// Only deliveries of this endpoint
    #[arg(long = "endpoint", value_name = "ENDPOINT_ID")]
    endpoint_id: Option<EndpointId>,
    /// Deliver to this endpoint, whatever its filters say
    #[arg(long = "to-endpoint", value_name = "ENDPOINT_ID")]
    to_endpoint_id: Option<EndpointId>,
    /// Deliveries a second
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: Option<u32>,
    /// Only count
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "UPPER")]
enum Status {
    Delivered,
    Failed,
    Cancelled,
    Unrouted,
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let client = options.api.client()?;
    match &options.action {
        Action::Start(predicate) => start(&client, predicate, *output),
        Action::List { limit } => list(&client, *limit as usize, *output),
        Action::Show(named) => tell(&client.ask(Method::Get, &path(named, ""), None)?, *output),
        Action::Pause(named) => tell(&client.ask(Method::Post, &path(named, "/pause"), None)?, *output),
        Action::Resume(named) => tell(&client.ask(Method::Post, &path(named, "/resume"), None)?, *output),
        Action::Cancel(named) => tell(&client.ask(Method::Delete, &path(named, ""), None)?, *output),
    }
}

fn path(named: &Named, action: &str) -> String {
    format!("/v1/replays/{}{action}", named.replay_id)
}

fn start(client: &Client, predicate: &Predicate, output: Output) -> anyhow::Result<()> {
    let answer = client.ask(Method::Post, "/v1/replays", Some(&predicate.body()))?;
    if !predicate.dry_run {
        return tell(&answer, output);
    }
    output.result(&answer, || {
        let more = if answer["complete"] == false { " at least; there are more to look at" } else { "" };
        format!(
            "{} deliveries of {} events{more}; the payload of {} is gone",
            shown(&answer["counted"]),
            shown(&answer["seen"]),
            shown(&answer["payload_gone"])
        )
    })
}

fn list(client: &Client, wanted: usize, output: Output) -> anyhow::Result<()> {
    let (replays, has_more) = client.list("/v1/replays", &[], "replays", wanted)?;
    output.result(&json!({"replays": replays, "has_more": has_more}), || {
        let columns = ["replay_id", "state", "progress", "seen", "replayed", "created_at"];
        let rows: Vec<[String; 6]> =
            replays.iter().map(|one| columns.map(|name| shown(&one[name]))).collect();
        table(["REPLAY", "STATE", "PROGRESS", "SEEN", "REPLAYED", "CREATED"], &rows)
    })
}

fn tell(replay: &Value, output: Output) -> anyhow::Result<()> {
    output.result(replay, || {
        let names = ["replay_id", "state", "progress", "seen", "replayed", "payload_gone", "after", "before"];
        names.map(|name| format!("{name:<14}{}", shown(&replay[name]))).join("\n")
    })
}

impl Predicate {
    fn body(&self) -> Value {
        let status = self.status.and_then(|status| status.to_possible_value());
        let fields = [
            ("status", status.map(|value| Value::from(value.get_name()))),
            ("type", self.event_type.clone().map(Value::from)),
            ("after", self.after.clone().map(Value::from)),
            ("before", self.before.clone().map(Value::from)),
            ("endpoint_id", self.endpoint_id.map(|id| Value::from(id.to_string()))),
            ("to_endpoint_id", self.to_endpoint_id.map(|id| Value::from(id.to_string()))),
            ("rate", self.rate.map(Value::from)),
            ("dry_run", self.dry_run.then_some(Value::from(true))),
        ];
        let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(given.collect::<Map<_, _>>())
    }
}
