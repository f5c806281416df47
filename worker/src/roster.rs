//! What this worker knows of the endpoints of its lanes: where work waits, whether they may be called now, and how many
//! attempts are under way. It decides what to claim and what to start; it does neither, and waits for nothing.

mod callable;
mod entry;
mod held;
mod pace;
mod standing;
mod turns;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, LaneSet, TenantId};
use trunkline_store::deliveries::{ActiveEndpoint, Claimed, DeliveryKey, Lease, Wanted};
use trunkline_store::wake::Hint;

pub(crate) use callable::{Callable, CallableFactory};
use entry::{Entry, Gate, Shelved};
use held::Held;
use pace::Pace;
use standing::Standing;
use turns::Turns;

/// Endpoints in use are loaded again when what is known of them is so old.
const REFRESHED_AFTER: Duration = Duration::from_secs(1);

/// Endpoints loaded at one time.
const LOAD_MAX: usize = 1_000;

/// An endpoint that was used so lately is kept fresh even while nothing waits for it.
const LATELY: Duration = Duration::from_secs(5);

/// Endpoints unused for so long are forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);

/// How far a claim looks back before what the last one found: publishers commit in another order than ids are made in.
/// What commits later still is found by the next look.
const TRAIL: Duration = Duration::from_secs(10);

/// What a lease must still leave after an attempt's deadline when the attempt starts: time to record it.
const LEASE_MARGIN: Duration = Duration::from_secs(1);

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

    // --- what is told -------------------------------------------------------------------------------------------

    /// A notification says that something is due.
    pub(crate) fn note_hint(&mut self, hint: Hint, now: DateTime<Utc>) {
        let id = hint.endpoint_id;
        let entry = self.entries.entry(id).or_insert_with(|| Entry::new(hint.lane, hint.tenant_id));
        entry.note_due(now);
        entry.is_hinted = true;
        entry.used_at = Instant::now();
        self.queue(id, now);
    }

    /// A look found open work. It may be under way already; then a claim comes back empty, and that is all.
    pub(crate) fn note_active(&mut self, active: ActiveEndpoint, now: DateTime<Utc>) {
        let id = active.endpoint_id;
        let entry = self.entries.entry(id).or_insert_with(|| Entry::new(active.lane, active.tenant_id));
        entry.note_due(active.first_due_at);
        entry.due_from = entry.due_from.min(active.first_due_at);
        entry.expedited_from = active.expedited_from;
        entry.is_hinted |= entry.asked > 0;
        self.queue(id, now);
    }

    /// Endpoints were loaded; those that were asked for and are missing were deleted.
    pub(crate) fn note_loaded(
        &mut self,
        asked: &[(TenantId, EndpointId)],
        loaded: Vec<Callable>,
        now: DateTime<Utc>,
    ) {
        let mut loaded: HashMap<EndpointId, Callable> =
            loaded.into_iter().map(|callable| (callable.endpoint_id, callable)).collect();
        for (_, id) in asked {
            let callable = loaded.remove(id).map(Arc::new);
            self.edit(*id, |entry| {
                let is_first = entry.callable.is_none();
                if let (true, Some(callable)) = (is_first, &callable) {
                    entry.standing = Standing::new(callable.is_failing());
                }
                let rate = callable.as_ref().and_then(|callable| callable.rate_per_second);
                if entry.pace.as_ref().map(Pace::per_second) != rate {
                    entry.pace = rate.map(|per_second| Pace::new(per_second, Instant::now()));
                }
                entry.callable = callable;
                entry.loaded_at = Some(Instant::now());
            });
            self.startable.push(*id);
            self.queue(*id, now);
        }
    }

    /// Lanes came here: what was believed of their endpoints may be wrong.
    pub(crate) fn note_gained(&mut self, lanes: LaneSet) {
        for entry in self.entries.values_mut().filter(|entry| lanes.contains(entry.lane)) {
            entry.due_from = DateTime::UNIX_EPOCH;
            entry.pace = entry.pace.take().map(|pace| Pace::new(pace.per_second(), Instant::now()));
        }
    }

    /// Only these lanes are served: what was claimed of others and not started is given back.
    pub(crate) fn keep_only(&mut self, serving: LaneSet, now: DateTime<Utc>) {
        let elsewhere: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| !serving.contains(entry.lane) && !entry.shelf.is_empty())
            .map(|(id, _)| *id)
            .collect();
        for id in elsewhere {
            self.give_back(id, now, |_| true);
        }
    }

    /// What a claim brought: `claimed` of what was `wanted`.
    pub(crate) fn note_claimed(
        &mut self,
        wanted: &[Wanted],
        mut claimed: Vec<Claimed>,
        leased_until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) {
        claimed.sort_by_key(|one| (one.due_at, one.key.event_id));
        self.held.hold_bytes(claimed.iter().map(Claimed::payload_bytes).sum());
        let mut found: HashMap<EndpointId, Vec<Claimed>> = HashMap::new();
        for one in claimed {
            found.entry(one.key.endpoint_id).or_default().push(one);
        }
        for one in wanted {
            let id = one.endpoint_id;
            let found = found.remove(&id).unwrap_or_default();
            self.edit(id, |entry| entry.take_claimed(one, found, leased_until, now));
            self.startable.push(id);
            self.queue(id, now);
        }
    }

    /// A claim failed: nothing is known to be claimed, and all is wanted still.
    pub(crate) fn note_claim_failed(&mut self, wanted: &[Wanted], now: DateTime<Utc>) {
        for one in wanted {
            self.edit(one.endpoint_id, |entry| {
                entry.asked = entry.asked.saturating_sub(one.deliveries_max as usize);
            });
            self.queue(one.endpoint_id, now);
        }
    }

    /// An attempt ended; if its delivery is attempted again, at `retry_at`.
    pub(crate) fn note_ended(
        &mut self,
        id: EndpointId,
        fared: Fared,
        retry_at: Option<DateTime<Utc>>,
        payload_bytes: usize,
        now: DateTime<Utc>,
    ) {
        let default_cap = self.limits.endpoint_concurrency;
        self.edit(id, |entry| {
            entry.in_flight = entry.in_flight.saturating_sub(1);
            entry.ended_lately += 1;
            entry.used_at = Instant::now();
            match fared {
                Fared::Well => entry.standing.note_success(entry.cap(default_cap)),
                Fared::Badly => entry.standing.note_failure(),
                Fared::Unknown => {}
            }
            if let Some(at) = retry_at {
                entry.note_due(at);
            }
        });
        self.held.forget_bytes(payload_bytes);
        self.startable.push(id);
        self.queue(id, now);
    }

    /// Attempts have ended: those that found no room get another turn.
    pub(crate) fn requeue_crowded(&mut self, now: DateTime<Utc>) {
        for id in std::mem::take(&mut self.crowded) {
            self.queue(id, now);
        }
    }

    // --- what is asked ------------------------------------------------------------------------------------------

    /// What to claim now: at most `spare` deliveries, of endpoints in these lanes, each tenant in its turn.
    pub(crate) fn plan(&mut self, serving: LaneSet, spare: usize, now: DateTime<Utc>) -> Vec<Wanted> {
        let mut budget = self.limits.concurrency.saturating_sub(self.held.total()).min(spare);
        let mut bytes = self.held.bytes();
        let mut dealt: Vec<EndpointId> = Vec::new();
        while budget > 0 {
            let Some(id) = self.turns.next() else { break };
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            entry.is_queued = false;
            let may_ask = matches!(entry.gate(now), Gate::Open | Gate::OnlyExpedited);
            if !serving.contains(entry.lane) || !may_ask || entry.is_refusing(self.limits, now) {
                continue;
            }
            bytes += entry.payload_bytes;
            let class = entry.standing.class();
            if self.held.is_full(class, self.limits.concurrency) || Held::is_heavy(bytes) {
                self.crowded.push(id);
                continue;
            }
            budget -= 1;
            if !dealt.contains(&id) {
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
        let mut startable = std::mem::take(&mut self.startable);
        startable.sort_unstable();
        startable.dedup();
        for id in startable {
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
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(callable) = entry.callable.clone() else { return };
        // An attempt that could outlive its lease is not begun.
        let lease_min = now + callable.timeout + LEASE_MARGIN;
        while entry.in_flight < entry.window(default_cap) {
            if entry.shelf.front().is_some_and(|one| one.leased_until < lease_min) {
                return self.give_back(id, now, |one| one.leased_until < lease_min);
            }
            if let Some(wait) = entry.pace.as_ref().and_then(|pace| wait_until(pace.next_at())) {
                if !entry.shelf.is_empty() {
                    self.timers.push(Reverse((now + wait, id)));
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
        stale.into_iter().map(|(_, names)| names).take(LOAD_MAX).collect()
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
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// Looks again at the endpoints whose time has come.
    pub(crate) fn run_timers(&mut self, now: DateTime<Utc>) {
        while let Some(Reverse((at, id))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            self.startable.push(id);
            self.queue(id, now);
        }
    }

    // --- below: keeping the books ---------------------------------------------------------------------------------

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

/// How long it is until then; `None` = it is over.
fn wait_until(at: Instant) -> Option<Duration> {
    let wait = at.saturating_duration_since(Instant::now());
    (!wait.is_zero()).then_some(wait)
}

impl Entry {
    /// Takes what a claim found. Fewer than were wanted mean that nothing else waits.
    fn take_claimed(
        &mut self,
        wanted: &Wanted,
        found: Vec<Claimed>,
        leased_until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) {
        let deliveries_max = wanted.deliveries_max as usize;
        self.asked = self.asked.saturating_sub(deliveries_max);
        let is_all = found.len() < deliveries_max;
        if wanted.only_expedited {
            self.expedited_from = self.expedited_from.filter(|_| !is_all);
        } else {
            let seen_until = if is_all { Some(now) } else { found.last().map(|one| one.due_at) };
            self.due_from = self.due_from.max(seen_until.map_or(self.due_from, |until| until - TRAIL));
            if is_all && !self.is_hinted {
                self.due_at = None;
            }
        }
        self.payload_bytes = found.iter().map(Claimed::payload_bytes).max().unwrap_or(self.payload_bytes);
        let passes_pause = wanted.only_expedited;
        self.shelf.extend(found.into_iter().map(|claimed| Shelved { claimed, leased_until, passes_pause }));
    }

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
