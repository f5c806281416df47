//! The settings of an endpoint as options.

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::failure::Failure;

/// What an endpoint can be told to do.
#[derive(Debug, Args)]
pub(super) struct Settings {
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// Only events of these types; a prefix as order.*; may be repeated or comma-separated
    #[arg(long = "event-type", value_name = "TYPE", value_delimiter = ',')]
    event_types: Vec<String>,
    /// Only events whose payload satisfies this SQL/JSON path predicate, such as '$.total > 100'
    #[arg(long, value_name = "PREDICATE")]
    payload_filter: Option<String>,
    /// Sent with every attempt, such as 'X-Team: billing'; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Own facts about it, such as team=billing; may be repeated
    #[arg(long = "metadata", value_name = "KEY=VALUE")]
    metadata: Vec<String>,
    /// Deadline of an attempt, in milliseconds
    #[arg(long)]
    timeout_ms: Option<u32>,
    /// Waits between attempts, in milliseconds, comma-separated; none = one attempt only
    #[arg(long, value_parser = waits)]
    retry_schedule_ms: Option<Waits>,
    /// Attempts a second at most
    #[arg(long)]
    rate_per_second: Option<u32>,
    /// Attempts at one time at most
    #[arg(long)]
    in_flight_max: Option<u32>,
    /// Whether events with one ordering key wait for each other, and what a dead letter does to those behind it
    #[arg(long, value_enum)]
    ordering: Option<Ordering>,
}

/// Waits between attempts.
#[derive(Debug, Clone, Serialize)]
struct Waits(Vec<u64>);

/// A setting that can go back to the installation's default, or to none.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Setting {
    Description,
    EventType,
    PayloadFilter,
    Header,
    Metadata,
    TimeoutMs,
    RetryScheduleMs,
    RatePerSecond,
    InFlightMax,
    Ordering,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Ordering {
    /// They do not wait
    None,
    /// They wait; a dead letter is passed over
    Skip,
    /// They wait, for a dead letter too
    Block,
}

impl Settings {
    /// The members that were named.
    pub(super) fn to_json(&self) -> anyhow::Result<Map<String, Value>> {
        let mut body = Map::new();
        let mut put =
            |name: &str, value: Option<Value>| body.extend(value.map(|value| (name.to_owned(), value)));
        put("description", self.description.as_ref().map(|text| json!(text)));
        put("event_types", (!self.event_types.is_empty()).then(|| json!(self.event_types)));
        put("payload_filter", self.payload_filter.as_ref().map(|text| json!(text)));
        put("custom_headers", pairs(&self.headers, ':')?);
        put("metadata", pairs(&self.metadata, '=')?);
        put("timeout_ms", self.timeout_ms.map(Value::from));
        put("retry_schedule_ms", self.retry_schedule_ms.as_ref().map(|waits| json!(waits)));
        put("rate_per_second", self.rate_per_second.map(Value::from));
        put("in_flight_max", self.in_flight_max.map(Value::from));
        let ordering = |ordering| match ordering {
            Ordering::None => "none",
            Ordering::Skip => "skip",
            Ordering::Block => "block",
        };
        put("ordering", self.ordering.map(|one| json!(ordering(one))));
        Ok(body)
    }
}

impl Setting {
    /// Its name in JSON.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Description => "description",
            Self::EventType => "event_types",
            Self::PayloadFilter => "payload_filter",
            Self::Header => "custom_headers",
            Self::Metadata => "metadata",
            Self::TimeoutMs => "timeout_ms",
            Self::RetryScheduleMs => "retry_schedule_ms",
            Self::RatePerSecond => "rate_per_second",
            Self::InFlightMax => "in_flight_max",
            Self::Ordering => "ordering",
        }
    }
}

fn waits(text: &str) -> Result<Waits, String> {
    if text == "none" {
        return Ok(Waits(Vec::new()));
    }
    let waits: Result<_, _> = text.split(',').map(|wait| wait.trim().parse()).collect();
    waits.map(Waits).map_err(|_| "accepts milliseconds such as 1000,60000, or none".to_owned())
}

/// An object of what was given as pairs; `None` = nothing was.
fn pairs(texts: &[String], separator: char) -> anyhow::Result<Option<Value>> {
    let mut object = Map::new();
    for text in texts {
        let Some((name, value)) = text.split_once(separator) else {
            return Err(Failure::Usage(format!("{text} is not NAME{separator} VALUE")).into());
        };
        object.insert(name.trim().to_owned(), json!(value.trim()));
    }
    Ok((!object.is_empty()).then_some(Value::Object(object)))
}
