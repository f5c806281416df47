//! What the roster is asked: what to claim, what to start, what to load.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, LaneSet, TenantId};
use trunkline_store::deliveries::{GivenBack, Wanted};

use super::entry::{Entry, Gate, Shelved};
use super::{Limits, Roster, Start};

/// Endpoints in use are loaded again when what is known of them is so old.
const REFRESHED_AFTER: Duration = Duration::from_secs(1);

/// Endpoints loaded at one time.
const LOAD_MAX: usize = 1_000;

/// An endpoint that was used so lately is kept fresh even while nothing waits for it.
const LATELY: Duration = Duration::from_secs(5);

/// Endpoints unused for so long are forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);

/// What a lease must still leave after an attempt's deadline when the attempt starts: time to record it.
const LEASE_MARGIN: Duration = Duration::from_secs(1);

impl Roster {
    /// What to claim now: at most `spare` deliveries, of endpoints in the lanes served, each tenant in its turn.
    pub(crate) fn plan(&mut self, spare: usize, now: DateTime<Utc>) -> Vec<Wanted> {
        let mut budget = self.limits.concurrency.saturating_sub(self.held.total()).min(spare);
        let mut dealt: Vec<EndpointId> = Vec::new();
        while budget > 0 {
            let Some(id) = self.turns.next() else { break };
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            entry.is_queued = false;
            let may_ask = matches!(entry.gate(now), Gate::Open | Gate::OnlyExpedited);
            if !self.serving.contains(entry.lane) || !may_ask || entry.is_refusing(self.limits, now) {
                continue;
            }
            if !self.held.has_room(entry, self.limits.concurrency) {
                if !std::mem::replace(&mut entry.is_crowded, true) {
                    self.crowded.push(id);
                }
                continue;
            }
            budget -= 1;
            // One claim is under way at a time, so that nothing is asked for yet but in this plan.
            if entry.asked == 0 {
                dealt.push(id);
            }
            self.edit(id, |entry| entry.asked += 1);
            self.queue(id, now);
        }
        dealt.into_iter().filter_map(|id| self.entries.get_mut(&id)?.want(id, now)).collect()
    }

    /// Takes from the shelves what may be started now. What may not be started any more is given back.
    pub(crate) fn start(&mut self, now: DateTime<Utc>) -> Vec<Start> {
        let mut starts = Vec::new();
        for id in std::mem::take(&mut self.startable) {
            self.start_at(id, now, &mut starts);
        }
        starts
    }

    fn start_at(&mut self, id: EndpointId, now: DateTime<Utc>, starts: &mut Vec<Start>) {
        let Some(entry) = self.entries.get(&id).filter(|entry| !entry.shelf.is_empty()) else { return };
        match entry.gate(now) {
            Gate::Open => {}
            Gate::OnlyExpedited | Gate::Until(_) => self.give_back(id, now, |one| !one.passes_pause),
            Gate::Closed => return self.give_back(id, now, |_| true),
        }
        let default_cap = self.limits.endpoint_concurrency;
        let Some(callable) = self.entries.get(&id).and_then(|entry| entry.callable.clone()) else { return };
        // An attempt that could outlive its lease is not begun.
        let lease_min = now + callable.timeout + LEASE_MARGIN;
        let ends_too_soon = |one: &Shelved| one.leased_until < lease_min;
        if self.entries.get(&id).is_some_and(|entry| entry.shelf.iter().any(ends_too_soon)) {
            self.give_back(id, now, ends_too_soon);
        }
        let Some(entry) = self.entries.get_mut(&id) else { return };
        while entry.in_flight < entry.window(default_cap) {
            if let Some(wait) = entry.pace.as_ref().and_then(|pace| wait_until(pace.next_at())) {
                if !entry.shelf.is_empty() {
                    self.set_timer(id, now + wait);
                }
                return;
            }
            let Some(one) = entry.shelf.pop_front() else { return };
            entry.in_flight += 1;
            if let Some(pace) = &mut entry.pace {
                pace.note_start(Instant::now());
            }
            let Shelved { claimed, leased_until, .. } = one;
            starts.push(Start { claimed, callable: callable.clone(), leased_until });
        }
    }

    /// What must be given back to the database, since the last time this was asked.
    pub(crate) fn take_given_back(&mut self) -> Vec<GivenBack> {
        std::mem::take(&mut self.given_back)
    }

    /// Everything that is claimed and not started is given back.
    pub(crate) fn clear_shelves(&mut self, now: DateTime<Utc>) {
        self.keep_only(LaneSet::NONE, now);
    }

    /// Which endpoints must be loaded, or loaded again, the longest unknown first.
    pub(crate) fn stale(&mut self) -> Vec<(TenantId, EndpointId)> {
        self.is_ignorant = false;
        let keep = |entry: &Entry| entry.is_in_use() || entry.used_at.elapsed() < FORGOTTEN_AFTER;
        self.entries.retain(|_, entry| keep(entry));
        let is_stale = |entry: &Entry| {
            let is_old = entry.loaded_at.is_none_or(|at| at.elapsed() > REFRESHED_AFTER);
            is_old && (entry.is_in_use() || entry.used_at.elapsed() < LATELY)
        };
        let mut stale: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| is_stale(entry))
            .map(|(id, entry)| (entry.loaded_at, (entry.tenant_id.clone(), *id)))
            .collect();
        stale.sort_by_key(|(loaded_at, _)| *loaded_at);
        let asked: Vec<_> = stale.into_iter().map(|(_, names)| names).take(LOAD_MAX).collect();
        for (_, id) in &asked {
            self.entries.entry(*id).and_modify(|entry| entry.is_outdated = false);
        }
        asked
    }

    /// Whether an endpoint with work waits to be loaded.
    pub(crate) fn is_ignorant(&self) -> bool {
        self.is_ignorant
    }

    /// Lanes of which deliveries are claimed or under way.
    pub(crate) fn busy(&self) -> LaneSet {
        self.held.lanes()
    }

    /// Deliveries that are claimed, being claimed, or under way.
    pub(crate) fn outstanding(&self) -> usize {
        self.held.total()
    }

    /// When something changes by itself: a pause ends, a retry is due.
    pub(crate) fn next_timer(&self) -> Option<DateTime<Utc>> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Looks again at the endpoints whose time has come.
    pub(crate) fn run_timers(&mut self, now: DateTime<Utc>) {
        while let Some((at, id)) = self.timers.first().copied() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.timer_at = entry.timer_at.filter(|set| *set != at);
            }
            self.startable.insert(id);
            self.queue(id, now);
        }
    }
}

impl Entry {
    /// What to claim of it, as dealt; from here on it is being claimed.
    fn want(&mut self, endpoint_id: EndpointId, now: DateTime<Utc>) -> Option<Wanted> {
        self.is_hinted = false;
        self.ended_lately = 0;
        let expedited_from = self.expedited_from.filter(|_| self.gate(now) == Gate::OnlyExpedited);
        Some(Wanted {
            lane: self.lane,
            endpoint_id,
            deliveries_max: u32::try_from(self.asked).ok()?,
            only_expedited: expedited_from.is_some(),
            due_from: expedited_from.unwrap_or(self.due_from),
        })
    }

    fn is_refusing(&self, limits: Limits, now: DateTime<Utc>) -> bool {
        self.room(limits.endpoint_concurrency, now) == 0
    }
}

/// How long it is until then; `None` = it is over.
fn wait_until(at: Instant) -> Option<Duration> {
    let wait = at.saturating_duration_since(Instant::now());
    (!wait.is_zero()).then_some(wait)
}
