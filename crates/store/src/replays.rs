//! Replays: events of the past delivered again, in steps, by whichever worker is free. A row holds all that the next step needs,
//! so that a replay survives any restart.

mod manage;
mod plan;
mod step;

use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, EventStatus, EventType, Lane, ReplayId, TenantId};
use uuid::Uuid;

pub use manage::{NewReplay, count_open, create, find, list, steer};
pub use plan::{Plan, PlannedEvent, plan};
pub use step::{Stepped, next_step_at, step};

/// Which deliveries are made again, and where.
#[derive(Debug, Clone)]
pub struct ReplaySpec {
    /// Its tenant's lane.
    pub lane: Lane,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// DELIVERED, FAILED, CANCELLED: deliveries that ended so. UNROUTED: events that no endpoint matched. `None` = all of these.
    pub status: Option<EventStatus>,
    /// Only events of this exact type.
    pub event_type: Option<EventType>,
    /// Only deliveries of this endpoint.
    pub endpoint_id: Option<EndpointId>,
    /// Only events created later than this.
    pub after: DateTime<Utc>,
    /// Only events created earlier than this.
    pub before: DateTime<Utc>,
    /// Deliver to this endpoint, whatever its filters say; `None` = to those that had them, or match now where none had.
    pub to_endpoint_id: Option<EndpointId>,
}

/// How a replay stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayState {
    /// Steps are made.
    Running,
    /// By hand; it goes on when it is resumed.
    Paused,
    /// It has seen every event of its range.
    Done,
    /// By hand, for good.
    Cancelled,
}

impl ReplayState {
    /// The word used in SQL and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it came to its end.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Running, Self::Paused, Self::Done, Self::Cancelled]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

/// A replay with its progress.
#[derive(Debug, Clone)]
pub struct Replay {
    /// Its id.
    pub replay_id: ReplayId,
    /// What it does.
    pub spec: ReplaySpec,
    /// How it stands.
    pub state: ReplayState,
    /// Deliveries made due a second at most.
    pub rate_per_second: u32,
    /// Where the next step begins.
    pub next_event_id: Uuid,
    /// Events looked at so far.
    pub seen: u64,
    /// Deliveries made due so far.
    pub replayed: u64,
    /// Events that matched but whose payload was erased.
    pub payload_gone: u64,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// When it came to its end.
    pub finished_at: Option<DateTime<Utc>>,
}
