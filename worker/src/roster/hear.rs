//! What the roster is told: work that came, endpoints that were loaded, claims and attempts that ended.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use trunkline_domain::{EndpointId, LaneSet, TenantId};
use trunkline_store::deliveries::{ActiveEndpoint, Claimed, Wanted};
use trunkline_store::wake::Hint;

use super::entry::{Entry, Shelved};
use super::pace::Pace;
use super::standing::Standing;
use super::{BreakerNews, Callable, Fared, Roster};

/// How far a claim looks back before what the last one found: publishers commit in another order than ids are made in.
/// What commits later still is found by the next look.
const TRAIL: Duration = Duration::from_secs(10);

/// A hint may come before its event is due by this worker's clock, which can be some milliseconds behind the api's: a claim
/// that finds nothing is made again so often.
const HINT_TRIES: u8 = 2;

/// Before it is.
const HINT_WAIT: Duration = Duration::from_millis(4);

impl Roster {
    /// A notification says that something is due.
    pub(crate) fn note_hint(&mut self, hint: Hint, now: DateTime<Utc>) {
        let id = hint.endpoint_id;
        let entry = self.entries.entry(id).or_insert_with(|| Entry::new(hint.lane, hint.tenant_id));
        entry.note_due(now);
        entry.is_hinted = true;
        entry.hint_tries = HINT_TRIES;
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
                    let open_for = callable.breaker_open_until.map(|until| until - now);
                    let open_for = open_for.and_then(|wait| wait.to_std().ok());
                    entry.standing = Standing::loaded(callable.is_failing(), open_for, Instant::now());
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

    /// An attempt ended; if its delivery is attempted again, at `retry_at`. Tells whether the endpoint's breaker opened or
    /// closed by it.
    pub(crate) fn note_ended(
        &mut self,
        id: EndpointId,
        fared: Fared,
        retry_at: Option<DateTime<Utc>>,
        payload_bytes: usize,
        now: DateTime<Utc>,
    ) -> Option<BreakerNews> {
        let default_cap = self.limits.endpoint_concurrency;
        let breaker = self.edit(id, |entry| {
            entry.in_flight = entry.in_flight.saturating_sub(1);
            entry.ended_lately += 1;
            entry.used_at = Instant::now();
            if let Some(at) = retry_at {
                entry.note_due(at);
            }
            let at = Instant::now();
            match fared {
                Fared::Well => {
                    entry.standing.note_success(entry.cap(default_cap), at).then_some(BreakerNews::Closed)
                }
                Fared::Badly if entry.standing.note_failure(at) => {
                    entry.standing.open_for(at).map(|wait| BreakerNews::OpenUntil(now + wait))
                }
                Fared::Badly | Fared::Unknown => None,
            }
        });
        self.held.forget_bytes(payload_bytes);
        self.startable.push(id);
        self.queue(id, now);
        breaker.flatten()
    }

    /// Attempts have ended: those that found no room get another turn.
    pub(crate) fn requeue_crowded(&mut self, now: DateTime<Utc>) {
        for id in std::mem::take(&mut self.crowded) {
            self.queue(id, now);
        }
    }
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
