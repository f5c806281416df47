//! What this worker knows of the endpoints of its lanes: where work waits, whether they may be called now, and how many
//! attempts are under way. It decides what to claim and what to start; it does neither, and waits for nothing.

mod callable;
mod entry;
mod hear;
mod held;
mod pace;
mod plan;
mod standing;
mod turns;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use trunkline_domain::EndpointId;
use trunkline_store::deliveries::{Claimed, DeliveryKey, Lease};

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

/// A claim to be given back.
pub(crate) type GivenBack = (DeliveryKey, Lease);

/// All endpoints with work, or that had some lately.
pub(crate) struct Roster {
    limits: Limits,
    entries: HashMap<EndpointId, Entry>,
    held: Held,
    turns: Turns,
    /// Endpoints where something may be started since the last time.
    startable: Vec<EndpointId>,
    /// Endpoints that had a turn while their class, or the worker's memory, was full.
    crowded: Vec<EndpointId>,
    timers: BinaryHeap<Reverse<(DateTime<Utc>, EndpointId)>>,
    given_back: Vec<GivenBack>,
    /// An endpoint with work is not known, or not lately.
    is_ignorant: bool,
}

impl Roster {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: HashMap::new(),
            held: Held::default(),
            turns: Turns::default(),
            startable: Vec::new(),
            crowded: Vec::new(),
            timers: BinaryHeap::new(),
            given_back: Vec::new(),
            is_ignorant: false,
        }
    }

    /// Gives an endpoint a turn, if there is something to claim and room for it, or a time to look again.
    fn queue(&mut self, id: EndpointId, now: DateTime<Utc>) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.is_queued {
            return;
        }
        match (entry.due_at, entry.gate(now)) {
            (None, _) => {}
            (_, Gate::Closed) => self.is_ignorant |= !entry.is_believed(),
            (Some(due_at), _) if due_at > now => self.timers.push(Reverse((due_at, id))),
            (_, Gate::Until(until)) => self.timers.push(Reverse((until, id))),
            (_, Gate::Open | Gate::OnlyExpedited) => {
                if entry.room(self.limits.endpoint_concurrency, now) > 0 {
                    entry.is_queued = true;
                    self.turns.push(&entry.tenant_id, id);
                }
            }
        }
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
            }
            taken
        });
        for one in taken.into_iter().flatten() {
            self.held.forget_bytes(one.claimed.payload_bytes());
            self.given_back.push((one.claimed.key, one.claimed.lease));
        }
        self.queue(id, now);
    }

    /// Changes an entry and keeps the sums right.
    fn edit<T>(&mut self, id: EndpointId, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let entry = self.entries.get_mut(&id)?;
        let before = held::Part::of(entry);
        let result = change(entry);
        self.held.change(before, held::Part::of(entry));
        Some(result)
    }
}
