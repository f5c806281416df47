//! Events in a transaction of their own: batches, which are stored as a whole or not at all, and events whose order counts.
//!
//! Everything is locked in one order, ordering keys before idempotency keys and each kind sorted, so that transactions wait for each
//! other in one direction only.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use moka::sync::Cache;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};
use trunkline_domain::{EventId, NewEvent, TenantId, payload};
use trunkline_store::events::ordering::{self, KeyName};
use trunkline_store::events::{self, Filters, Routing};
use trunkline_store::pool::within;
use trunkline_store::wake::Hint;
use trunkline_store::{Connection, StoreError, idempotency};

use crate::metrics::METRICS;

use super::filtered::STATEMENT_STEPS;
use super::keyed::{self, REMEMBERED};
use super::{Flusher, Idempotency, NotStored, PATIENCE, STATEMENT_PATIENCE, Stored};

/// Transactions under way at one time.
pub(super) const TURNS: usize = 4;

/// Transactions of one tenant with payload filters under way at one time, since its filters may make them long.
const FILTERED_TURNS: usize = 2;

/// Tenants with payload filters whose turns are remembered.
const FILTERED_TENANTS_MAX: u64 = 10_000;

/// How long a transaction waits for a key that somebody else holds: the statement's own limit is a second.
const WAIT: Duration = Duration::from_millis(900);

/// What judging [`STATEMENT_STEPS`] takes at worst.
const JUDGING: Duration = Duration::from_millis(500);

/// Events in one statement. A thousand at once could take longer than a statement may.
const STATEMENT_MAX: usize = 250;

/// An event, and the key that it is published with.
pub(crate) struct Item {
    pub(crate) event: NewEvent<Bytes>,
    pub(crate) key: Option<Idempotency>,
}

/// Why nothing of a batch was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ItemRefused {
    /// The item it is because of; `None` = all of them.
    pub(crate) index: Option<usize>,
    pub(crate) reason: NotStored,
}

impl ItemRefused {
    pub(super) fn all(reason: NotStored) -> Self {
        Self { index: None, reason }
    }
}

/// Writes batches, some at a time.
pub(super) struct Together {
    flusher: Flusher,
    turns: Semaphore,
    /// Of each tenant with payload filters: it takes no more of the places in line for `turns`.
    filtered: Cache<TenantId, Arc<Semaphore>>,
}

impl Together {
    pub(super) fn new(flusher: Flusher) -> Self {
        Self { flusher, turns: Semaphore::new(TURNS), filtered: Cache::new(FILTERED_TENANTS_MAX) }
    }

    /// One transaction; answers in the order of `items`.
    pub(super) async fn publish(
        &self,
        mut items: Vec<Item>,
        filter_weight: Option<u64>,
        waited: Duration,
    ) -> Result<Vec<Stored>, ItemRefused> {
        let end = Instant::now() + patience(&items, filter_weight, waited);
        let turn = timeout_at(end, self.turn(&items, filter_weight)).await;
        let Ok(Ok(_turn)) = turn else { return Err(ItemRefused::all(NotStored::Overloaded)) };
        let mut filters = if filter_weight.is_some() { Filters::Judged } else { Filters::Apart };
        let (began, count) = (Instant::now(), items.len());
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match within(left, self.write(&mut items, filters, filter_weight)).await {
                Ok(stored) => {
                    METRICS.together.note(count, began.elapsed(), 0);
                    return stored;
                }
                // The tenant has a filter since a moment.
                Err(StoreError::JudgedApart(_)) if filters == Filters::Apart => filters = Filters::Judged,
                Err(error) => {
                    tracing::warn!(%error, count = items.len(), "events could not be stored together; their publisher was told");
                    return Err(ItemRefused::all(keyed::reason(&error)));
                }
            }
        }
    }

    /// Waits for a turn; one with payload filters for its tenant's own before.
    async fn turn(
        &self,
        items: &[Item],
        filter_weight: Option<u64>,
    ) -> Result<(SemaphorePermit<'_>, Option<OwnedSemaphorePermit>), AcquireError> {
        let own = match items.first().filter(|_| filter_weight.is_some()) {
            Some(item) => {
                let turns = || Arc::new(Semaphore::new(FILTERED_TURNS));
                let turns = self.filtered.get_with_by_ref(&item.event.tenant_id, turns);
                Some(turns.acquire_owned().await?)
            }
            None => None,
        };
        Ok((self.turns.acquire().await?, own))
    }

    async fn write(
        &self,
        items: &mut [Item],
        filters: Filters<'static>,
        filter_weight: Option<u64>,
    ) -> Result<Result<Vec<Stored>, ItemRefused>, StoreError> {
        let now = self.flusher.clock.now();
        let mut connection = self.flusher.pool.acquire().await?;
        let mut transaction = trunkline_store::begin(&mut connection).await?;
        idempotency::wait_at_most(&mut transaction, WAIT).await?;
        match mint_in_order(&mut transaction, items).await {
            Err(StoreError::Locked(_)) => return Ok(Err(ItemRefused::all(NotStored::OrderBusy))),
            minted => minted?,
        }
        let firsts = first_of_each_key(items);
        let held = match claim(&mut transaction, items, &firsts, now).await? {
            Ok(held) => held,
            Err(refused) => return Ok(Err(refused)),
        };
        let is_new = |index: &usize| firsts[*index] == *index && !held.contains_key(index);
        let new: Vec<_> = (0..items.len()).filter(is_new).map(|index| items[index].event.clone()).collect();
        let routing = publish(&mut transaction, &new, filters, filter_weight).await?;
        transaction.commit().await?;
        self.flusher.waker.wake_for(routing.endpoints);
        let stored = |index: usize| {
            let first = firsts[index];
            let event_id = items[first].event.event_id;
            let is_routed = !routing.unrouted.contains(&event_id);
            held.get(&first).copied().unwrap_or(Stored { event_id, is_routed, is_replayed: first != index })
        };
        Ok(Ok((0..items.len()).map(stored).collect()))
    }
}

/// Gives events with ordering keys ids that are larger than those of the events before them.
async fn mint_in_order(connection: &mut Connection, items: &mut [Item]) -> Result<(), StoreError> {
    let mut names: Vec<KeyName> = items.iter().filter_map(|item| key_name(&item.event)).collect();
    if names.is_empty() {
        return Ok(());
    }
    names.sort();
    names.dedup();
    let last = ordering::lock(connection, &names).await?;
    let mut last_of: HashMap<KeyName, EventId> = names.iter().cloned().zip(last).collect();
    for item in items {
        if let Some(last) = key_name(&item.event).and_then(|name| last_of.get_mut(&name)) {
            item.event.event_id = item.event.event_id.after(*last);
            *last = item.event.event_id;
        }
    }
    let last: Vec<EventId> = names.iter().filter_map(|name| last_of.get(name).copied()).collect();
    ordering::note_last(connection, &names, &last).await
}

fn key_name(event: &NewEvent<Bytes>) -> Option<KeyName> {
    event.ordering_key.as_ref().map(|key| KeyName::new(event.lane, &event.tenant_id, key))
}

/// For each item the first one with its Idempotency-Key, which is itself where it has none.
fn first_of_each_key(items: &[Item]) -> Vec<usize> {
    let mut first_of: HashMap<&str, usize> = HashMap::new();
    let keys = items.iter().map(|item| item.key.as_ref().map(|key| key.key.as_str()));
    keys.enumerate()
        .map(|(index, key)| key.map_or(index, |key| *first_of.entry(key).or_insert(index)))
        .collect()
}

/// Claims the keys. Returns what those name that are not free, by the index of their first item; or the item whose key was used
/// with another body.
async fn claim(
    connection: &mut Connection,
    items: &[Item],
    firsts: &[usize],
    now: DateTime<Utc>,
) -> Result<Result<HashMap<usize, Stored>, ItemRefused>, StoreError> {
    let mut keyed: Vec<(usize, &Idempotency)> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let Some(key) = &item.key else { continue };
        let first = &items[firsts[index]];
        if first.key.as_ref().is_some_and(|first| first.body_sha256 != key.body_sha256) {
            return Ok(Err(ItemRefused { index: Some(index), reason: NotStored::KeyReused }));
        }
        if firsts[index] == index {
            keyed.push((index, key));
        }
    }
    keyed.sort_by(|(_, one), (_, other)| one.key.cmp(&other.key));
    let mut held = HashMap::new();
    if keyed.is_empty() {
        return Ok(Ok(held));
    }
    let claims: Vec<_> =
        keyed.iter().map(|(index, key)| keyed::claim_of(&items[*index].event, key)).collect();
    let won: HashSet<EventId> =
        idempotency::claim(connection, &claims, now, now + REMEMBERED).await?.into_iter().collect();
    for (index, key) in keyed {
        let event = &items[index].event;
        if won.contains(&event.event_id) {
            continue;
        }
        let found = keyed::find(connection, event, key).await?;
        match found.and_then(|holder| keyed::answer(&holder, key)) {
            Ok(stored) => held.insert(index, stored),
            Err(reason) => return Ok(Err(ItemRefused { index: Some(index), reason })),
        };
    }
    Ok(Ok(held))
}

/// How long a publisher who has waited for tokens still waits for its answer: as for one event, and as long as filters may take to judge a
/// large batch.
fn patience(items: &[Item], filter_weight: Option<u64>, waited: Duration) -> Duration {
    let steps = |weight| items.iter().map(|item| payload::steps(&item.event.payload, weight)).sum::<u64>();
    let statements = filter_weight.map_or(0, |weight| steps(weight) / STATEMENT_STEPS);
    let judging = JUDGING.saturating_mul(u32::try_from(statements).unwrap_or(u32::MAX));
    PATIENCE.saturating_add(judging).min(STATEMENT_PATIENCE).saturating_sub(waited)
}

/// How many of these events one statement takes: as many as it can judge in time, and at least one.
fn statement_length(
    events: &[NewEvent<Bytes>],
    filters: Filters<'static>,
    filter_weight: Option<u64>,
) -> usize {
    if filters == Filters::Apart {
        return events.len().min(STATEMENT_MAX);
    }
    let mut left = STATEMENT_STEPS;
    let fits = events.iter().take(STATEMENT_MAX).take_while(|event| {
        let steps = filter_weight.map_or(payload::STEPS_MAX, |weight| payload::steps(&event.payload, weight));
        let fits = steps <= left;
        left = left.saturating_sub(steps);
        fits
    });
    fits.count()
}

/// Some statements, and those that must wait for their turn are held back.
async fn publish(
    connection: &mut Connection,
    new: &[NewEvent<Bytes>],
    filters: Filters<'static>,
    filter_weight: Option<u64>,
) -> Result<Routing, StoreError> {
    let mut routing = Routing::default();
    let mut endpoints: HashSet<Hint> = HashSet::new();
    let mut rest = new;
    while !rest.is_empty() {
        let (part, later) = rest.split_at(statement_length(rest, filters, filter_weight));
        rest = later;
        let part = events::publish(connection, part, filters).await?;
        routing.unrouted.extend(part.unrouted);
        endpoints.extend(part.endpoints);
    }
    routing.endpoints = endpoints.into_iter().collect();
    let ordered: Vec<&NewEvent<Bytes>> = new.iter().filter(|event| event.ordering_key.is_some()).collect();
    if !ordered.is_empty() {
        let lanes: Vec<_> = ordered.iter().map(|event| event.lane).collect();
        let tenants: Vec<_> = ordered.iter().map(|event| event.tenant_id.clone()).collect();
        let ids: Vec<_> = ordered.iter().map(|event| event.event_id).collect();
        ordering::hold_back(connection, &lanes, &tenants, &ids).await?;
    }
    Ok(routing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waited_for_tokens_waits_so_much_shorter_for_its_answer() {
        for waited in [Duration::ZERO, Duration::from_millis(1), crate::rate::PATIENCE] {
            assert_eq!(waited + patience(&[], None, waited), PATIENCE);
        }
        assert_eq!(patience(&[], None, PATIENCE * 2), Duration::ZERO);
    }
}
