//! One endpoint: what waits for it, what is under way, and what it allows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use trunkline_domain::{Lane, TenantId};
use trunkline_store::deliveries::Claimed;

use super::Callable;
use super::pace::Pace;
use super::standing::Standing;

/// How long an endpoint's settings are believed where nobody told of a change. Those in use are loaded again every second, before
/// that.
pub(super) const BELIEVED_FOR: Duration = Duration::from_secs(3);

/// A payload's size where none of the endpoint has been seen yet: a quarter of the largest.
const PAYLOAD_BYTES_UNKNOWN: usize = 64 * 1024;

/// A delivery that is claimed and waits for its turn at the endpoint.
pub(super) struct Shelved {
    pub(super) claimed: Claimed,
    pub(super) leased_until: DateTime<Utc>,
    /// It was retried by hand: a pause does not hold it back.
    pub(super) passes_pause: bool,
}

/// Whether an endpoint may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    /// It is paused, or its breaker is open.
    Until(DateTime<Utc>),
    /// The same, but something was retried by hand.
    OnlyExpedited,
    /// It is disabled, deleted, or not loaded (lately).
    Closed,
}

pub(super) struct Entry {
    pub(super) lane: Lane,
    pub(super) tenant_id: TenantId,
    pub(super) callable: Option<Arc<Callable>>,
    pub(super) loaded_at: Option<Instant>,
    /// It was changed since it was last asked for: what is being loaded may be what it was before.
    pub(super) is_outdated: bool,
    /// Since or from when something waits that is not claimed, as far as is known.
    pub(super) due_at: Option<DateTime<Utc>>,
    /// Told of new work since the last claim was sent: that claim may not have seen it.
    pub(super) is_hinted: bool,
    /// How often a claim after a hint may still come back empty before the hint is taken for spent.
    pub(super) hint_tries: u8,
    pub(super) expedited_from: Option<DateTime<Utc>>,
    /// Nothing that became due earlier waits.
    pub(super) due_from: DateTime<Utc>,
    pub(super) shelf: VecDeque<Shelved>,
    pub(super) in_flight: usize,
    /// How many are being claimed at this moment.
    pub(super) asked: usize,
    /// Attempts that ended since the last claim was planned: so many more will be wanted by the time the next one is back.
    pub(super) ended_lately: usize,
    pub(super) standing: Standing,
    pub(super) pace: Option<Pace>,
    /// The size of its payloads, by the largest of the last claim.
    pub(super) payload_bytes: usize,
    /// Payload bytes on the shelf and under way.
    pub(super) held_bytes: usize,
    pub(super) is_queued: bool,
    /// It had a turn, and found no room.
    pub(super) is_crowded: bool,
    /// When its timer rings.
    pub(super) timer_at: Option<DateTime<Utc>>,
    pub(super) used_at: Instant,
}

impl Entry {
    /// An endpoint of which nothing is known.
    pub(super) fn new(lane: Lane, tenant_id: TenantId) -> Self {
        Self {
            lane,
            tenant_id,
            callable: None,
            loaded_at: None,
            is_outdated: false,
            due_at: None,
            is_hinted: false,
            hint_tries: 0,
            expedited_from: None,
            due_from: DateTime::UNIX_EPOCH,
            shelf: VecDeque::new(),
            in_flight: 0,
            asked: 0,
            ended_lately: 0,
            standing: Standing::unknown(),
            pace: None,
            payload_bytes: PAYLOAD_BYTES_UNKNOWN,
            held_bytes: 0,
            is_queued: false,
            is_crowded: false,
            timer_at: None,
            used_at: Instant::now(),
        }
    }

    /// Whether it is the endpoint that somebody names so.
    pub(super) fn is_of(&self, lane: Lane, tenant_id: &TenantId) -> bool {
        self.lane == lane && self.tenant_id == *tenant_id
    }

    /// Deliveries that take up room in this worker: under way, claimed, or being claimed.
    pub(super) fn outstanding(&self) -> usize {
        self.in_flight + self.shelf.len() + self.asked
    }

    /// Their payloads, as far as they are known.
    pub(super) fn outstanding_bytes(&self) -> usize {
        self.held_bytes + self.asked * self.payload_bytes
    }

    pub(super) fn is_in_use(&self) -> bool {
        self.due_at.is_some() || self.outstanding() > 0
    }

    pub(super) fn is_believed(&self) -> bool {
        self.loaded_at.is_some_and(|at| at.elapsed() < BELIEVED_FOR)
    }

    pub(super) fn gate(&self, now: DateTime<Utc>) -> Gate {
        let Some(callable) = self.callable.as_ref().filter(|callable| callable.is_open()) else {
            return Gate::Closed;
        };
        let paused_until = callable.paused_until(now);
        let opens_at = self.standing.open_for(Instant::now()).map(|wait| now + wait);
        match paused_until.max(opens_at) {
            _ if !self.is_believed() => Gate::Closed,
            None => Gate::Open,
            Some(_) if self.expedited_from.is_some() => Gate::OnlyExpedited,
            Some(until) => Gate::Until(until),
        }
    }

    /// How many attempts it may have under way.
    pub(super) fn window(&self, default_cap: usize) -> usize {
        self.standing.window(self.cap(default_cap))
    }

    pub(super) fn cap(&self, default_cap: usize) -> usize {
        self.callable.as_ref().and_then(|callable| callable.in_flight_max).unwrap_or(default_cap)
    }

    /// How many more deliveries to claim: what fits under way, and ahead of that as many as lately ended, so that a fast
    /// endpoint need not wait for the next claim while a slow one hoards nothing.
    pub(super) fn room(&self, default_cap: usize, now: DateTime<Utc>) -> usize {
        if self.due_at.is_none_or(|due_at| due_at > now) {
            return 0;
        }
        let (cap, window) = (self.cap(default_cap), self.window(default_cap));
        let ahead = if window == cap { self.ended_lately.min(cap) } else { 0 };
        let most = self.pace.as_ref().map_or(usize::MAX, Pace::per_second);
        (window + ahead).min(most).saturating_sub(self.outstanding())
    }

    /// Notes work that is due at that time, unless earlier work is known.
    pub(super) fn note_due(&mut self, at: DateTime<Utc>) {
        self.due_at = Some(self.due_at.map_or(at, |earlier| earlier.min(at)));
    }
}
