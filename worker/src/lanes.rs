//! The lanes that this worker owns, as its engine and the keeper of the leases both see them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use trunkline_domain::{Lane, LaneSet};

/// Shared between the keeper, which leases lanes, and the engine, which serves them.
#[derive(Clone)]
pub(crate) struct Lanes {
    state: Arc<Mutex<State>>,
    /// An owner stops claiming so long before its leases end: by then a new owner may have begun.
    margin: Duration,
}

#[derive(Default)]
struct State {
    serving: LaneSet,
    /// Owned, but to be given up once their attempts are done.
    leaving: LaneSet,
    /// Taken since the engine last asked.
    gained: LaneSet,
    /// Lanes of attempts under way, as the engine says.
    busy: LaneSet,
    until: Option<Instant>,
    dead: Vec<i32>,
}

impl Lanes {
    /// No lane yet; each will be leased for `lease`.
    pub(crate) fn new(lease: Duration) -> Self {
        Self { state: Arc::default(), margin: Duration::from_secs(2).min(lease / 3) }
    }

    /// The lanes of which deliveries may be claimed now.
    pub(crate) fn serving(&self) -> LaneSet {
        let state = self.lock();
        let holds = state.until.is_some_and(|until| Instant::now() + self.margin < until);
        if holds { state.serving } else { LaneSet::NONE }
    }

    /// Those that are leased, whether served or about to be given up.
    pub(crate) fn held(&self) -> LaneSet {
        let state = self.lock();
        state.serving.union(state.leaving)
    }

    /// Lanes that were taken since this was last asked: whatever was believed of their endpoints may be wrong.
    pub(crate) fn take_gained(&self) -> LaneSet {
        std::mem::take(&mut self.lock().gained)
    }

    /// Says of which lanes attempts are under way.
    pub(crate) fn note_busy(&self, busy: LaneSet) {
        self.lock().busy = busy;
    }

    /// The numbers of workers that are known to be dead.
    pub(crate) fn dead(&self) -> Vec<i32> {
        self.lock().dead.clone()
    }

    /// Those that are dead now. One that comes back is not for long: its leases hold again.
    pub(crate) fn set_dead(&self, workers: Vec<i32>) {
        self.lock().dead = workers;
    }

    /// The keeper renewed these leases; a lane that is missing is somebody else's by now.
    pub(crate) fn renewed(&self, lanes: LaneSet, until: Instant) {
        let mut state = self.lock();
        state.serving = state.serving.intersection(lanes);
        state.leaving = state.leaving.intersection(lanes);
        state.until = Some(until);
    }

    pub(crate) fn gained(&self, lanes: LaneSet, until: Instant) {
        let mut state = self.lock();
        state.serving = state.serving.union(lanes);
        state.leaving = state.leaving.without(lanes);
        state.gained = state.gained.union(lanes);
        state.until = Some(state.until.map_or(until, |earlier| earlier.min(until)));
    }

    /// Stops serving `count` lanes, those without attempts under way first.
    pub(crate) fn leave(&self, count: usize) {
        let mut state = self.lock();
        let idle = state.serving.without(state.busy);
        let busy = state.serving.intersection(state.busy);
        let chosen: LaneSet = idle.iter().rev().chain(busy.iter().rev()).take(count).collect();
        state.serving = state.serving.without(chosen);
        state.leaving = state.leaving.union(chosen);
    }

    /// Takes back lanes that were to be given up, at most `count`.
    pub(crate) fn stay(&self, count: usize) {
        let mut state = self.lock();
        let chosen: LaneSet = state.leaving.iter().take(count).collect();
        state.leaving = state.leaving.without(chosen);
        state.serving = state.serving.union(chosen);
        state.gained = state.gained.union(chosen);
    }

    /// Lanes that are to be given up and have no attempt under way any more.
    pub(crate) fn releasable(&self) -> Vec<Lane> {
        let state = self.lock();
        state.leaving.without(state.busy).iter().collect()
    }

    pub(crate) fn released(&self, lanes: &[Lane]) {
        let mut state = self.lock();
        lanes.iter().for_each(|lane| state.leaving.remove(*lane));
    }

    /// How many are served, and how many are only still owned.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        (state.serving.len(), state.leaving.len())
    }

    /// All are lost at once: the session is, by which the others know that this worker lives.
    pub(crate) fn lose_all(&self) {
        let mut state = self.lock();
        (state.serving, state.leaving, state.until) = (LaneSet::NONE, LaneSet::NONE, None);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Each critical section leaves the state whole, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(lease: Duration) -> Lanes {
        let lanes = Lanes::new(lease);
        lanes.gained(Lane::all().collect(), Instant::now() + lease);
        lanes
    }

    #[test]
    fn an_owner_stops_before_its_lease_ends() {
        assert_eq!(owned(Duration::from_secs(10)).serving().len(), 64);
        let lanes = Lanes::new(Duration::from_secs(10));
        lanes.gained(Lane::all().collect(), Instant::now() + Duration::from_secs(2));
        assert!(lanes.serving().is_empty());
    }

    #[test]
    fn a_lane_is_given_up_only_when_its_attempts_are_done() {
        let lanes = owned(Duration::from_secs(10));
        let busy: LaneSet = Lane::all().take(40).collect();
        lanes.note_busy(busy);
        lanes.leave(32);
        assert_eq!((lanes.serving().len(), lanes.releasable().len()), (32, 24), "idle ones first");
        lanes.note_busy(LaneSet::NONE);
        assert_eq!(lanes.releasable().len(), 32);
    }

    #[test]
    fn a_lease_that_was_not_renewed_is_gone() {
        let lanes = owned(Duration::from_secs(10));
        lanes.leave(1);
        lanes.renewed(Lane::all().take(3).collect(), Instant::now() + Duration::from_secs(10));
        assert_eq!(lanes.counts(), (3, 0));
        lanes.lose_all();
        assert!(lanes.serving().is_empty());
    }
}
