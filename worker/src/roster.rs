//! What this worker knows of the endpoints of its lanes: where work waits, whether they may be called now, and how many
//! attempts are under way. It decides what to claim and what to start; it does neither, and waits for nothing.

mod callable;
mod entry;
mod hear;
mod held;
mod pace;
mod plan;
mod standing;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use trunkline_domain::outcome::Consequence;
use trunkline_domain::{EndpointId, LaneSet};
use trunkline_store::deliveries::{Claimed, GivenBack};

pub(crate) use callable::{Callable, CallableFactory};
use entry::{Entry, Gate, Shelved};
use held::Held;
use turns::Turns;

/// Bounds of the whole worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Deliveries claimed or under way.
    pub(crate) concurrency: usize,
    /// Attempts under way at an endpoint that says nothing else.
    pub(crate) endpoint_concurrency: usize,
}

/// How an attempt ended, as far as its endpoint's entry is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fared {
    Well,
    Badly,
    /// By our own fault; it says nothing of the endpoint.
    Unknown,
}

/// An attempt that ended, as far as the roster is concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    pub(crate) endpoint_id: EndpointId,
    pub(crate) fared: Fared,
    pub(crate) started_at: DateTime<Utc>,
    /// When its delivery is attempted again, if it is.
    pub(crate) retry_at: Option<DateTime<Utc>>,
    /// What its answer asked of the endpoint.
    pub(crate) consequence: Consequence,
    pub(crate) payload_bytes: usize,
}

/// What an attempt did to its endpoint's breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakerNews {
    /// It opened, perhaps again after a probe.
    OpenUntil(DateTime<Utc>),
    Closed,
}

/// An attempt to be started.
pub(crate) struct Start {
    pub(crate) claimed: Claimed,
    pub(crate) callable: Arc<Callable>,
    pub(crate) leased_until: DateTime<Utc>,
}

/// All endpoints with work, or that had some lately.
pub(crate) struct Roster {
    limits: Limits,
    /// Lanes whose endpoints are called.
    serving: LaneSet,
    entries: HashMap<EndpointId, Entry>,
    held: Held,
    turns: Turns,
    /// Endpoints where something may be started since the last time.
    startable: BTreeSet<EndpointId>,
    /// Endpoints that had a turn while what their class or their tenant may fill was full, each once.
    crowded: Vec<EndpointId>,
    /// At most one for each endpoint.
    timers: BTreeSet<(DateTime<Utc>, EndpointId)>,
    given_back: Vec<GivenBack>,
    /// An endpoint with work is not known, or not lately.
    is_ignorant: bool,
}

impl Roster {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            serving: LaneSet::NONE,
            entries: HashMap::new(),
            held: Held::default(),
            turns: Turns::default(),
            startable: BTreeSet::new(),
            crowded: Vec::new(),
            timers: BTreeSet::new(),
            given_back: Vec::new(),
            is_ignorant: false,
        }
    }

    /// Deliveries that may be claimed or under way.
    pub(crate) fn concurrency(&self) -> usize {
        self.limits.concurrency
    }

    /// How many endpoints' breakers are closed, let a probe through, and are open.
    pub(crate) fn breakers(&self) -> [usize; 3] {
        let now = std::time::Instant::now();
        let mut counts = [0; 3];
        for entry in self.entries.values() {
            counts[entry.standing.breaker(now) as usize] += 1;
        }
        counts
    }

    /// Gives an endpoint a turn, if there is something to claim and room for it, or a time to look again.
    fn queue(&mut self, id: EndpointId, now: DateTime<Utc>) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.is_queued {
            return;
        }
        let timer_at = match (entry.due_at, entry.gate(now)) {
            (None, _) => None,
            (_, Gate::Closed) => {
                self.is_ignorant |= !entry.is_believed();
                None
            }
            (Some(due_at), _) if due_at > now => Some(due_at),
            (_, Gate::Until(until)) => Some(until),
            (_, Gate::Open | Gate::OnlyExpedited) => {
                if entry.room(self.limits.endpoint_concurrency, now) > 0 {
                    entry.is_queued = true;
                    self.turns.push(&entry.tenant_id, id);
                }
                None
            }
        };
        if let Some(at) = timer_at {
            self.set_timer(id, at);
        }
    }

    /// Looks at an endpoint again at that time, or before. Every look and every hint asks for it anew while a pause or a wait for a
    /// retry may last for days, so an endpoint has one timer and not one for each time it was asked for.
    fn set_timer(&mut self, id: EndpointId, at: DateTime<Utc>) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        match entry.timer_at {
            Some(earlier) if earlier <= at => return,
            Some(later) => _ = self.timers.remove(&(later, id)),
            None => {}
        }
        entry.timer_at = Some(at);
        self.timers.insert((at, id));
    }

    /// Takes what is meant off an endpoint's shelf. It waits for a claim again.
    fn give_back(&mut self, id: EndpointId, now: DateTime<Utc>, is_meant: impl Fn(&Shelved) -> bool) {
        let taken = self.edit(id, |entry| {
            let (taken, kept): (Vec<_>, Vec<_>) =
                std::mem::take(&mut entry.shelf).into_iter().partition(|one| is_meant(one));
            entry.shelf = kept.into();
            for one in &taken {
                entry.note_due(one.claimed.due_at);
                entry.due_from = entry.due_from.min(one.claimed.due_at);
                entry.held_bytes = entry.held_bytes.saturating_sub(one.claimed.payload_bytes());
            }
            taken
        });
        for Shelved { claimed, .. } in taken.into_iter().flatten() {
            self.given_back.push(GivenBack { key: claimed.key, lease: claimed.lease, retry_at: None });
        }
        self.queue(id, now);
    }

    /// Puts off, by the endpoint's schedule, what two workers in a row were lost with: be it that it takes them down, or that it
    /// was beside what does, it must not lose its whole budget while they start again. It does not count as an attempt.
    fn put_off_lost(&mut self, id: EndpointId, now: DateTime<Utc>) {
        let put_off = self.edit(id, |entry| {
            let Some(callable) = entry.callable.clone() else { return Vec::new() };
            let wait_of = |claimed: &Claimed| {
                let lost = claimed.cycle_attempt.saturating_sub(1) as usize;
                let chance = trunkline_boot::random::random_unit();
                callable.retry.next_attempt(lost, chance, None).filter(|_| claimed.lost_again)
            };
            let mut put_off = Vec::new();
            for one in std::mem::take(&mut entry.shelf) {
                let Some(wait) = wait_of(&one.claimed) else {
                    entry.shelf.push_back(one);
                    continue;
                };
                let retry_at = now + wait;
                entry.note_due(retry_at);
                entry.held_bytes = entry.held_bytes.saturating_sub(one.claimed.payload_bytes());
                let Claimed { key, lease, .. } = one.claimed;
                put_off.push(GivenBack { key, lease, retry_at: Some(retry_at) });
            }
            put_off
        });
        self.given_back.extend(put_off.into_iter().flatten());
    }

    /// Changes an entry and keeps the sums right.
    fn edit<T>(&mut self, id: EndpointId, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let entry = self.entries.get_mut(&id)?;
        let before = held::Part::of(entry);
        let result = change(entry);
        self.held.change(&entry.tenant_id, before, held::Part::of(entry));
        Some(result)
    }
}
