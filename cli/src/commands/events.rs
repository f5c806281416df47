//! `trunkline events`: a tenant's history over REST.

mod explain;
mod export;
mod list;
mod show;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use trunkline_domain::{EndpointId, EventId, EventType};

use crate::api_client::{Client, Method};
use crate::api_options::ApiOptions;
use crate::output::{Output, shown};

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    api: ApiOptions,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List events, newest first
    List {
        #[command(flatten)]
        filter: list::Filter,
        /// How many at most
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Write every event with its payload, newest first, one JSON document a line
    Export(list::Filter),
    /// Show one event: its payload, deliveries and every attempt
    Show {
        /// Such as evt_0190163d8694739b8a3c0123456789ab
        event_id: EventId,
    },
    /// Attempt FAILED events again, with a fresh budget
    Retry {
        /// One or more
        #[arg(required = true)]
        event_ids: Vec<EventId>,
        /// Only their deliveries to this endpoint
        #[arg(long = "endpoint", value_name = "ENDPOINT_ID")]
        endpoint_id: Option<EndpointId>,
    },
    /// Cancel what of events would still be attempted; dead letters stay
    Cancel {
        /// One or more
        #[arg(required = true)]
        event_ids: Vec<EventId>,
    },
    /// Erase events' payloads for good, with a receipt each; what would still be attempted is cancelled
    Erase {
        /// One or more
        #[arg(required = true)]
        event_ids: Vec<EventId>,
    },
    /// Say for each endpoint whether an event of the past matches it, and why or why not
    Explain {
        /// Such as evt_0190163d8694739b8a3c0123456789ab
        event_id: EventId,
    },
    /// Say the same of an event that was not published, and publish nothing
    Match {
        /// A file with its payload, a JSON object; `-` or nothing reads standard input
        file: Option<PathBuf>,
        /// Its type; else the api looks into the payload
        #[arg(long = "type", value_name = "TYPE")]
        event_type: Option<EventType>,
    },
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let client = options.api.client()?;
    match &options.action {
        Action::List { filter, limit } => list::run(&client, filter, *limit, *output),
        Action::Export(filter) => export::run(&client, filter),
        Action::Show { event_id } => show::run(&client, *event_id, *output),
        Action::Retry { event_ids, endpoint_id } => {
            event_ids.iter().try_for_each(|event_id| retry(&client, *event_id, *endpoint_id, *output))
        }
        Action::Cancel { event_ids } => {
            event_ids.iter().try_for_each(|event_id| cancel(&client, *event_id, *output))
        }
        Action::Erase { event_ids } => {
            event_ids.iter().try_for_each(|event_id| erase(&client, *event_id, *output))
        }
        Action::Explain { event_id } => explain::run(&client, *event_id, *output),
        Action::Match { file, event_type } => {
            explain::try_out(&client, file.as_deref(), event_type.as_ref(), *output)
        }
    }
}

fn retry(
    client: &Client,
    event_id: EventId,
    endpoint_id: Option<EndpointId>,
    output: Output,
) -> anyhow::Result<()> {
    let delivery = endpoint_id.map_or_else(String::new, |id| format!("/deliveries/{id}"));
    let answer = client
        .ask(Method::Post, &format!("/v1/events/{event_id}{delivery}/retry"), None)
        .with_context(|| format!("{event_id} was not retried"))?;
    output.result(&answer, || format!("{event_id} {}", shown(&answer["status"])))
}

fn cancel(client: &Client, event_id: EventId, output: Output) -> anyhow::Result<()> {
    let answer = client
        .ask(Method::Delete, &format!("/v1/events/{event_id}"), None)
        .with_context(|| format!("{event_id} was not cancelled"))?;
    output.result(&answer, || {
        format!("{event_id} {}, {} cancelled", shown(&answer["status"]), shown(&answer["cancelled"]))
    })
}

fn erase(client: &Client, event_id: EventId, output: Output) -> anyhow::Result<()> {
    let receipt = client
        .ask(Method::Delete, &format!("/v1/events/{event_id}/content"), None)
        .with_context(|| format!("{event_id} was not erased"))?;
    output.result(&receipt, || {
        format!(
            "{event_id} erased {}, receipt {}",
            shown(&receipt["erased_at"]),
            shown(&receipt["erasure_id"])
        )
    })
}
