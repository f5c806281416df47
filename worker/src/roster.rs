//! What this worker knows of the endpoints it serves: how to call them, whether it may now, and how many attempts are
//! under way.

mod allot;
mod callable;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, Lane, TenantId};
use trunkline_store::deliveries::{ActiveEndpoint, Wanted};

use crate::wake::Bell;

pub(crate) use callable::{Callable, CallableFactory};

/// How long an endpoint's settings are believed: a change of address or secret takes effect within this time.
const BELIEVED_FOR: Duration = Duration::from_secs(1);

/// Endpoints unused for so long are forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);

/// Shared between the engine, which asks, and the attempts, which tell.
#[derive(Clone)]
pub(crate) struct Roster {
    entries: Arc<Mutex<HashMap<EndpointId, Entry>>>,
    in_flight_max: usize,
    bell: Bell,
}

struct Entry {
    callable: Arc<Callable>,
    loaded_at: Instant,
    in_flight: usize,
}

/// What a look at the open work comes to.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// What to claim.
    pub(crate) wanted: Vec<Wanted>,
    /// When something that cannot be attempted now can be.
    pub(crate) next_at: Option<DateTime<Utc>>,
}

impl Roster {
    pub(crate) fn new(in_flight_max: usize, bell: Bell) -> Self {
        Self { entries: Arc::default(), in_flight_max, bell }
    }

    /// Which of these endpoints must be loaded (again) before they can be served.
    pub(crate) fn stale(&self, active: &[ActiveEndpoint], now: DateTime<Utc>) -> Vec<(TenantId, EndpointId)> {
        let entries = self.lock();
        active
            .iter()
            .filter(|one| one.first_due_at <= now)
            .filter(|one| {
                entries.get(&one.endpoint_id).is_none_or(|entry| entry.loaded_at.elapsed() > BELIEVED_FOR)
            })
            .map(|one| (one.tenant_id.clone(), one.endpoint_id))
            .collect()
    }

    /// Takes what was loaded, and forgets what was not asked for in a long time.
    pub(crate) fn learn(&self, loaded: Vec<Callable>) {
        let mut entries = self.lock();
        for callable in loaded {
            let in_flight = entries.get(&callable.endpoint_id).map_or(0, |entry| entry.in_flight);
            let entry = Entry { callable: Arc::new(callable), loaded_at: Instant::now(), in_flight };
            entries.insert(entry.callable.endpoint_id, entry);
        }
        entries.retain(|_, entry| entry.in_flight > 0 || entry.loaded_at.elapsed() < FORGOTTEN_AFTER);
    }

    /// Divides `free` attempts among the endpoints that may be called now.
    pub(crate) fn plan(&self, active: &[ActiveEndpoint], free: usize, now: DateTime<Utc>) -> Plan {
        let entries = self.lock();
        let mut plan = Plan::default();
        let mut candidates = Vec::new();
        for one in active {
            if one.first_due_at > now {
                plan.look_again_at(one.first_due_at);
                continue;
            }
            let Some(entry) = entries.get(&one.endpoint_id).filter(|entry| entry.callable.is_open()) else {
                continue;
            };
            let paused_until = entry.callable.paused_until(now);
            if let Some(until) = paused_until {
                plan.look_again_at(until);
                if !one.has_expedited {
                    continue;
                }
            }
            let cap = entry.callable.in_flight_max.unwrap_or(self.in_flight_max);
            candidates.push(allot::Candidate {
                lane: one.lane,
                tenant_id: &one.tenant_id,
                endpoint_id: one.endpoint_id,
                capacity: cap.saturating_sub(entry.in_flight),
                only_expedited: paused_until.is_some(),
            });
        }
        plan.wanted = allot::round_robin(candidates, free);
        plan
    }

    /// Counts an attempt that starts; the guard counts it off when it ends, however it does.
    pub(crate) fn start(&self, endpoint_id: EndpointId) -> Option<(Arc<Callable>, InFlight)> {
        let mut entries = self.lock();
        let entry = entries.get_mut(&endpoint_id)?;
        entry.in_flight += 1;
        Some((entry.callable.clone(), InFlight { roster: self.clone(), endpoint_id }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<EndpointId, Entry>> {
        // Each critical section leaves the map whole at every step, so a panic elsewhere does not spoil it.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    fn look_again_at(&mut self, at: DateTime<Utc>) {
        self.next_at = Some(self.next_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// One attempt under way.
pub(crate) struct InFlight {
    roster: Roster,
    endpoint_id: EndpointId,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(entry) = self.roster.lock().get_mut(&self.endpoint_id) {
            entry.in_flight = entry.in_flight.saturating_sub(1);
        }
        self.roster.bell.ring();
    }
}

/// Where the next look continues, so that no endpoint is always the last to be served.
pub(crate) type Place = Option<(Lane, EndpointId)>;
