//! What was acknowledged beside what arrived: lost, twice, and how long it took.

use std::collections::HashSet;

use crate::ledger::Entry;
use crate::percentiles::Percentiles;

/// Both sides, laid together.
pub(crate) struct Journey {
    /// For each delivery of an acknowledged event: when its event was answered, when it arrived first.
    pub(crate) trips: Vec<Trip>,
    /// Acknowledged, and never arrived anywhere.
    pub(crate) lost: usize,
    /// Arrived again at an endpoint where they had been.
    pub(crate) duplicates: usize,
}

/// One delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trip {
    pub(crate) answered_ns: u64,
    pub(crate) arrived_ns: u64,
    pub(crate) endpoint: u32,
}

impl Trip {
    /// An event may arrive before its own answer was read: that is no time at all.
    pub(crate) fn wait_ns(&self) -> u64 {
        self.arrived_ns.saturating_sub(self.answered_ns)
    }
}

impl Journey {
    /// Arrivals of events that are not among the acknowledged do not count: they were published for something else.
    pub(crate) fn new(mut acknowledged: Vec<Entry>, mut arrived: Vec<Entry>) -> Self {
        acknowledged.sort_unstable();
        // By event, then endpoint, then time, so that what comes again stands behind what came first.
        arrived.sort_unstable();
        let mut trips = Vec::with_capacity(arrived.len());
        let (mut duplicates, mut last) = (0, None);
        let mut found = HashSet::with_capacity(acknowledged.len());
        for entry in &arrived {
            let place = (entry.event, entry.endpoint);
            if last.replace(place) == Some(place) {
                duplicates += 1;
                continue;
            }
            let Ok(index) = acknowledged.binary_search_by_key(&entry.event, |answer| answer.event) else {
                continue;
            };
            found.insert(index);
            trips.push(Trip {
                answered_ns: acknowledged[index].at_ns,
                arrived_ns: entry.at_ns,
                endpoint: entry.endpoint,
            });
        }
        Self { trips, lost: acknowledged.len() - found.len(), duplicates }
    }

    /// From answer to arrival, of events that were answered in a window.
    pub(crate) fn waits(&self, from_ns: u64, until_ns: u64) -> Percentiles {
        let counted = self.trips.iter().filter(|trip| (from_ns..until_ns).contains(&trip.answered_ns));
        Percentiles::of_nanoseconds(counted.map(Trip::wait_ns))
    }

    /// Deliveries a second between the first arrival and the last.
    pub(crate) fn arrivals_per_second(&self) -> f64 {
        let first = self.trips.iter().map(|trip| trip.arrived_ns).min().unwrap_or_default();
        per_second(self.trips.len(), first, self.last_ns())
    }

    /// Deliveries a second from a moment to the last arrival.
    pub(crate) fn per_second_since(&self, from_ns: u64) -> f64 {
        per_second(self.trips.len(), from_ns, self.last_ns())
    }

    fn last_ns(&self) -> u64 {
        self.trips.iter().map(|trip| trip.arrived_ns).max().unwrap_or_default()
    }

    /// Events that were answered and had not arrived yet, at a moment.
    pub(crate) fn under_way(&self, at_ns: u64) -> usize {
        self.trips.iter().filter(|trip| trip.answered_ns <= at_ns && trip.arrived_ns > at_ns).count()
    }
}

fn per_second(count: usize, from_ns: u64, until_ns: u64) -> f64 {
    if until_ns > from_ns { count as f64 / ((until_ns - from_ns) as f64 / 1e9) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(event: u128, endpoint: u32, at_ns: u64) -> Entry {
        Entry { event, endpoint, at_ns }
    }

    #[test]
    fn lost_and_duplicate_are_told_apart() {
        let acknowledged = vec![entry(3, 0, 30), entry(1, 0, 10), entry(2, 0, 20)];
        let arrived =
            vec![entry(1, 4, 15), entry(1, 5, 16), entry(1, 4, 17), entry(9, 4, 18), entry(3, 4, 25)];
        let journey = Journey::new(acknowledged, arrived);
        assert_eq!((journey.lost, journey.duplicates, journey.trips.len()), (1, 1, 3));
        let waits: Vec<_> = journey.trips.iter().map(Trip::wait_ns).collect();
        assert_eq!(waits, [5, 6, 0], "event 3 arrived before its answer was read");
        assert_eq!(journey.under_way(12), 2);
        assert_eq!(journey.under_way(16), 0);
    }
}
