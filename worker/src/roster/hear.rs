//! What the roster is told: work that came, endpoints that were loaded, claims and attempts that ended.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use trunkline_domain::outcome::Consequence;
use trunkline_domain::{EndpointId, LaneSet, TenantId};
use trunkline_store::deliveries::{ActiveEndpoint, Claimed, Wanted};
use trunkline_store::wake::Hint;

use super::entry::{Entry, Shelved};
use super::pace::Pace;
use super::standing::Standing;
use super::{BreakerNews, Callable, Ending, Fared, Roster};

/// How far a claim looks back before what the last one found: publishers commit in another order than ids are made in.
/// What commits later still is found by the next look, a quarter of a second later. Under an old snapshot a claim steps over all
/// that was delivered in the meantime, so that each second of this is paid for.
const TRAIL: Duration = Duration::from_millis(500);

/// A hint may come before its event is due by this worker's clock, which can be some milliseconds behind the api's: a claim
/// that finds nothing is made again so often.
const HINT_TRIES: u8 = 2;

/// Before it is.
const HINT_WAIT: Duration = Duration::from_millis(4);

impl Roster {
    /// A notification says that something is due.
    pub(crate) fn note_hint(&mut self, hint: Hint, now: DateTime<Utc>) {
        let id = hint.endpoint_id;
        let Hint { lane, tenant_id, .. } = hint;
        let entry = self.entries.entry(id).or_insert_with(|| Entry::new(lane, tenant_id.clone()));
        if !entry.is_of(lane, &tenant_id) {
            // Anyone with a login may notify; a look tells the truth.
            return;
        }
        entry.note_due(now);
        entry.is_hinted = true;
        entry.hint_tries = HINT_TRIES;
        entry.used_at = Instant::now();
        self.queue(id, now);
    }

    /// A look found open work. It may be under way already; then a claim comes back empty, and that is all.
    pub(crate) fn note_active(&mut self, active: ActiveEndpoint, now: DateTime<Utc>) {
        let ActiveEndpoint { endpoint_id: id, lane, .. } = active;
        if !self.serving.contains(lane) {
            return;
        }
        let is_wrong = |entry: &Entry| !entry.is_of(lane, &active.tenant_id) && entry.outstanding() == 0;
        if self.entries.get(&id).is_some_and(is_wrong) {
            self.entries.remove(&id);
        }
        let entry = self.entries.entry(id).or_insert_with(|| Entry::new(lane, active.tenant_id));
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
                match (&entry.callable, &callable) {
                    (None, Some(callable)) => {
                        let open_for = callable.breaker_open_until.map(|until| until - now);
                        let open_for = open_for.map(|wait| wait.to_std().unwrap_or_default());
                        entry.standing = Standing::loaded(open_for, Instant::now());
                    }
                    (Some(earlier), Some(callable)) => callable.remember(earlier, now),
                    (_, None) => {}
                }
                let rate = callable.as_ref().and_then(|callable| callable.rate_per_second);
                if entry.pace.as_ref().map(Pace::per_second) != rate {
                    entry.pace = rate.map(|per_second| Pace::new(per_second, Instant::now()));
                }
                if callable.is_none() {
                    entry.forget_work();
                }
                entry.callable = callable;
                entry.loaded_at = (!entry.is_outdated).then(Instant::now);
            });
            self.startable.insert(*id);
            self.queue(*id, now);
        }
    }

    /// These tenants, or endpoints of theirs, were changed: nothing more is sent by what is known of them, and what is claimed and not
    /// sent is given back.
    pub(crate) fn note_changed(&mut self, changed: &HashSet<TenantId>) {
        if changed.is_empty() {
            return;
        }
        for (id, entry) in self.entries.iter_mut().filter(|(_, entry)| changed.contains(&entry.tenant_id)) {
            (entry.loaded_at, entry.is_outdated) = (None, true);
            self.is_ignorant |= entry.is_in_use();
            self.startable.insert(*id);
        }
    }

    /// Lanes came here: what was believed of their endpoints may be wrong. How they fare is in their rows, where the last owner
    /// left it.
    pub(crate) fn note_gained(&mut self, lanes: LaneSet) {
        for entry in self.entries.values_mut().filter(|entry| lanes.contains(entry.lane)) {
            entry.due_from = DateTime::UNIX_EPOCH;
            (entry.callable, entry.loaded_at) = (None, None);
            self.is_ignorant |= entry.is_in_use();
            entry.pace = entry.pace.take().map(|pace| Pace::new(pace.per_second(), Instant::now()));
        }
    }

    /// Only these lanes are served: what was claimed of others and not started is given back, and their endpoints are forgotten
    /// when their last attempts have ended.
    pub(crate) fn keep_only(&mut self, serving: LaneSet, now: DateTime<Utc>) {
        self.serving = serving;
        let elsewhere: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| !serving.contains(entry.lane) && !entry.shelf.is_empty())
            .map(|(id, _)| *id)
            .collect();
        for id in elsewhere {
            self.give_back(id, now, |_| true);
        }
        self.entries.retain(|_, entry| serving.contains(entry.lane) || entry.outstanding() > 0);
    }

    /// What a claim brought: `claimed` of what was `wanted`.
    pub(crate) fn note_claimed(
        &mut self,
        wanted: &[Wanted],
        mut claimed: Vec<Claimed>,
        leased_until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) {
        let is_short = claimed.len() < wanted.iter().map(|one| one.deliveries_max as usize).sum::<usize>();
        claimed.sort_by_key(|one| (one.due_at, one.key.event_id));
        let mut found: HashMap<EndpointId, Vec<Claimed>> = HashMap::new();
        for one in claimed {
            found.entry(one.key.endpoint_id).or_default().push(one);
        }
        for one in wanted {
            let id = one.endpoint_id;
            let found = found.remove(&id).unwrap_or_default();
            let any_lost = found.iter().any(|claimed| claimed.lost_again);
            self.edit(id, |entry| entry.take_claimed(one, found, leased_until, now));
            if any_lost {
                self.put_off_lost(id, now);
            }
            if !self.serving.contains(one.lane) {
                // Its lane left while it was claimed, and waits for this.
                self.give_back(id, now, |_| true);
                self.forget_elsewhere(id);
            }
            self.startable.insert(id);
            self.queue(id, now);
        }
        if is_short {
            self.requeue_crowded(now);
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
        self.requeue_crowded(now);
    }

    /// An attempt ended. Tells whether the endpoint's breaker opened or closed by it.
    pub(crate) fn note_ended(&mut self, ending: Ending, now: DateTime<Utc>) -> Option<BreakerNews> {
        let Ending { endpoint_id: id, fared, started_at, retry_at, consequence, payload_bytes } = ending;
        let default_cap = self.limits.endpoint_concurrency;
        let breaker = self.edit(id, |entry| {
            entry.in_flight = entry.in_flight.saturating_sub(1);
            entry.held_bytes = entry.held_bytes.saturating_sub(payload_bytes);
            entry.ended_lately += 1;
            entry.used_at = Instant::now();
            if let Some(at) = retry_at {
                entry.note_due(at);
            }
            // At once, before the table knows; and of what is in use now, which may have been loaded since the attempt began.
            match (consequence, &entry.callable) {
                (Consequence::Pause(wait), Some(callable)) => callable.pause(now + wait, now),
                (Consequence::Disable, Some(callable)) => callable.close(now),
                (Consequence::None, _) | (_, None) => {}
            }
            let at = Instant::now();
            match fared {
                Fared::Well => {
                    let took = (now - started_at).to_std().unwrap_or_default();
                    let began = at.checked_sub(took).unwrap_or(at);
                    let closes = entry.standing.note_success(entry.cap(default_cap), began, at);
                    closes.then_some(BreakerNews::Closed)
                }
                Fared::Badly if entry.standing.note_failure(at) => {
                    entry.standing.open_for(at).map(|wait| BreakerNews::OpenUntil(now + wait))
                }
                Fared::Badly | Fared::Unknown => None,
            }
        });
        self.forget_elsewhere(id);
        self.startable.insert(id);
        self.queue(id, now);
        breaker.flatten()
    }

    /// Forgets an endpoint of a lane that is served no more when nothing of it is under way.
    fn forget_elsewhere(&mut self, id: EndpointId) {
        let is_elsewhere = |entry: &Entry| !self.serving.contains(entry.lane) && entry.outstanding() == 0;
        if self.entries.get(&id).is_some_and(is_elsewhere) {
            self.entries.remove(&id);
        }
    }

    /// There is room again, of attempts that ended or that a claim did not fill: those that found none get another turn.
    pub(crate) fn requeue_crowded(&mut self, now: DateTime<Utc>) {
        for id in std::mem::take(&mut self.crowded) {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.is_crowded = false;
            }
            self.queue(id, now);
        }
    }
}

impl Entry {
    /// There is no such endpoint, so nothing of it is ever claimed, which is what ends a due time: without this the entry would be in
    /// use, and loaded again, for as long as the lane is here. A look that finds something all the same notes it anew.
    fn forget_work(&mut self) {
        (self.due_at, self.expedited_from, self.is_hinted) = (None, None, false);
    }

    /// Takes what a claim found. Fewer than were wanted mean that nothing else waits.
    fn take_claimed(
        &mut self,
        wanted: &Wanted,
        found: Vec<Claimed>,
        leased_until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) {
        let deliveries_max = wanted.deliveries_max as usize;
        self.held_bytes += found.iter().map(Claimed::payload_bytes).sum::<usize>();
        self.asked = self.asked.saturating_sub(deliveries_max);
        let is_all = found.len() < deliveries_max;
        if wanted.only_expedited {
            self.expedited_from = self.expedited_from.filter(|_| !is_all);
        } else {
            let seen_until = if is_all { Some(now) } else { found.last().map(|one| one.due_at) };
            self.due_from = self.due_from.max(seen_until.map_or(self.due_from, |until| until - TRAIL));
            if is_all && !self.is_hinted {
                let is_early = found.is_empty() && self.hint_tries > 0;
                self.hint_tries = if is_early { self.hint_tries - 1 } else { 0 };
                self.due_at = is_early.then(|| now + HINT_WAIT);
            }
        }
        self.payload_bytes = found.iter().map(Claimed::payload_bytes).max().unwrap_or(self.payload_bytes);
        let passes_pause = wanted.only_expedited;
        self.shelf.extend(found.into_iter().map(|claimed| Shelved { claimed, leased_until, passes_pause }));
    }
}
