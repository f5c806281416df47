//! Replays: deliveries of the past made again, by predicate.

pub(crate) mod list;
pub(crate) mod show;
pub(crate) mod start;
pub(crate) mod steer;

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_domain::{EndpointId, EventId, EventStatus, EventType, ReplayId};
use trunkline_store::replays::ReplayState;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::problem::Problem;

/// A replay with its progress.
#[derive(Serialize, ToSchema)]
pub(crate) struct Replay {
    #[schema(value_type = String, example = "rpl_01a20ada2c007abc8123456789abcdef")]
    replay_id: ReplayId,
    /// running, paused, done or cancelled
    state: &'static str,
    /// Deliveries that ended so, or UNROUTED events; null = both.
    #[schema(value_type = Option<String>)]
    status: Option<EventStatus>,
    #[schema(value_type = Option<String>)]
    r#type: Option<EventType>,
    #[schema(value_type = Option<String>)]
    endpoint_id: Option<EndpointId>,
    #[schema(value_type = Option<String>)]
    to_endpoint_id: Option<EndpointId>,
    after: DateTime<Utc>,
    before: DateTime<Utc>,
    /// Deliveries made due a second at most.
    rate: u32,
    /// How much of the time range has been gone through, 0 to 1.
    progress: f64,
    /// Events looked at.
    seen: u64,
    /// Deliveries made due.
    replayed: u64,
    /// Events that matched but whose payload was erased.
    payload_gone: u64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

impl From<trunkline_store::replays::Replay> for Replay {
    fn from(replay: trunkline_store::replays::Replay) -> Self {
        let spec = replay.spec;
        let progress = match replay.state {
            ReplayState::Done => 1.0,
            _ => share(spec.after, spec.before, replay.next_event_id),
        };
        Self {
            replay_id: replay.replay_id,
            state: replay.state.as_str(),
            status: spec.status,
            r#type: spec.event_type,
            endpoint_id: spec.endpoint_id,
            to_endpoint_id: spec.to_endpoint_id,
            after: spec.after,
            before: spec.before,
            rate: replay.rate_per_second,
            progress,
            seen: replay.seen,
            replayed: replay.replayed,
            payload_gone: replay.payload_gone,
            created_at: replay.created_at,
            updated_at: replay.updated_at,
            finished_at: replay.finished_at,
        }
    }
}

/// Where an id lies in a range of time, to the thousandth.
fn share(after: DateTime<Utc>, before: DateTime<Utc>, next: Uuid) -> f64 {
    let at = EventId::from(next).instant().map_or(i64::MAX, |instant| instant.timestamp_millis());
    let whole = (before - after).num_milliseconds().max(1);
    let thousandths =
        at.saturating_sub(after.timestamp_millis()).clamp(0, whole).saturating_mul(1_000) / whole;
    f64::from(i32::try_from(thousandths).unwrap_or(1_000)) / 1_000.0
}

/// An id in a path. One that is none is answered like one that does not exist.
fn id(text: &str) -> Result<ReplayId, Problem> {
    text.parse().map_err(|_| Problem::no_replay())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_the_share_of_the_range() {
        let time = |seconds: i64| DateTime::from_timestamp(1_000_000 + seconds, 0).unwrap_or_default();
        let id = |seconds| trunkline_domain::EventId::mint(time(seconds), 0).as_uuid();
        let shares = [-5, 0, 25, 100, 200].map(|seconds| share(time(0), time(100), id(seconds)));
        assert_eq!(shares, [0.0, 0.0, 0.25, 1.0, 1.0]);
    }
}
