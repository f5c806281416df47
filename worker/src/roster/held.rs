//! Sums over all endpoints, kept up to date with every change, so that a plan need not add up thousands of entries; and how
//! much of a worker any class of endpoints, and any tenant, may fill.

use std::collections::HashMap;

use trunkline_domain::{Lane, LaneSet, TenantId};

use super::entry::Entry;
use super::standing::Class;

/// Payload bytes of claimed deliveries at one time: it bounds the worker's memory. A claim in progress may exceed it by what
/// its payloads are larger than those before.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// A tenant may hold so many times what is free, of a worker and of what each class may fill of it. One alone fills two thirds, two
/// of them two fifths each: however many of its endpoints hang, whoever comes next finds room, and gets it at once. (The rule that switches share their buffers by:
/// Choudhury and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", 1998.)
const TENANT_TIMES: usize = 2;

/// What takes up room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Load {
    deliveries: usize,
    bytes: usize,
}

impl Load {
    fn plus(self, other: Self) -> Self {
        Self { deliveries: self.deliveries + other.deliveries, bytes: self.bytes + other.bytes }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            deliveries: self.deliveries.saturating_sub(other.deliveries),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    fn times(self, times: usize) -> Self {
        Self { deliveries: self.deliveries * times, bytes: self.bytes * times }
    }

    fn fits(self, most: Self) -> bool {
        self.deliveries <= most.deliveries && self.bytes <= most.bytes
    }
}

/// What one endpoint adds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    lane: Lane,
    class: Class,
    load: Load,
}

impl Part {
    pub(super) fn of(entry: &Entry) -> Self {
        let load = Load { deliveries: entry.outstanding(), bytes: entry.outstanding_bytes() };
        Self { lane: entry.lane, class: entry.standing.class(), load }
    }
}

/// What the endpoints of each class hold.
type Classes = [Load; Class::ALL.len()];

pub(super) struct Held {
    all: Load,
    classes: Classes,
    /// Of those that hold anything.
    tenants: HashMap<TenantId, Classes>,
    lanes: [usize; trunkline_domain::lane::LANES.unsigned_abs() as usize],
}

impl Default for Held {
    fn default() -> Self {
        Self { all: Load::default(), classes: Default::default(), tenants: HashMap::new(), lanes: [0; 64] }
    }
}

impl Held {
    /// An endpoint of this tenant added the one and adds the other now.
    pub(super) fn change(&mut self, tenant_id: &TenantId, before: Part, after: Part) {
        if before == after {
            return;
        }
        self.all = self.all.plus(after.load).minus(before.load);
        let lane = usize::from(after.lane.number().unsigned_abs());
        self.lanes[lane] = self.lanes[lane] + after.load.deliveries - before.load.deliveries;
        if !self.tenants.contains_key(tenant_id) {
            self.tenants.insert(tenant_id.clone(), Classes::default());
        }
        for classes in std::iter::once(&mut self.classes).chain(self.tenants.get_mut(tenant_id)) {
            let (from, to) = (before.class as usize, after.class as usize);
            classes[from] = classes[from].minus(before.load);
            classes[to] = classes[to].plus(after.load);
        }
        if self.tenants.get(tenant_id) == Some(&Classes::default()) {
            self.tenants.remove(tenant_id);
        }
    }

    pub(super) fn total(&self) -> usize {
        self.all.deliveries
    }

    /// Whether one more delivery of that endpoint fits: into the worker and into what its class may fill of it, and of both into
    /// what its tenant may hold.
    pub(super) fn has_room(&self, entry: &Entry, concurrency: usize) -> bool {
        let one = Load { deliveries: 1, bytes: entry.payload_bytes };
        let class = entry.standing.class();
        let worker = Load { deliveries: concurrency, bytes: BYTES_MAX };
        let share = Load { deliveries: class.share_of(concurrency), bytes: class.share_of(BYTES_MAX) };
        let tenant = self.tenants.get(&entry.tenant_id).copied().unwrap_or_default();
        let of_tenant = tenant.into_iter().fold(Load::default(), Load::plus);
        let fits = |all: Load, of_tenant: Load, most: Load| {
            one.plus(all).fits(most) && one.plus(of_tenant).fits(most.minus(all).times(TENANT_TIMES))
        };
        fits(self.all, of_tenant, worker) && fits(self.classes[class as usize], tenant[class as usize], share)
    }

    pub(super) fn lanes(&self) -> LaneSet {
        Lane::all().zip(self.lanes).filter(|(_, held)| *held > 0).map(|(lane, _)| lane).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    /// Of an endpoint of which nothing is known.
    fn unknown(tenant: &str, payload_bytes: usize) -> Entry {
        Entry { payload_bytes, ..Entry::new(Lane::new(0).unwrap(), tenant.parse().unwrap()) }
    }

    /// Of one of the class that may fill a whole worker.
    fn proven(tenant: &str, payload_bytes: usize) -> Entry {
        let mut entry = unknown(tenant, payload_bytes);
        entry.standing.note_success(1, std::time::Instant::now(), std::time::Instant::now());
        entry
    }

    /// How many deliveries each of these proven endpoints gets of a worker, in turns, until none gets any more.
    fn fill(held: &mut Held, tenants: &[&str], payload_bytes: usize, concurrency: usize) -> Vec<usize> {
        fill_with(held, tenants.iter().map(|tenant| proven(tenant, payload_bytes)).collect(), concurrency)
    }

    fn fill_with(held: &mut Held, mut entries: Vec<Entry>, concurrency: usize) -> Vec<usize> {
        loop {
            let mut any = false;
            for entry in &mut entries {
                if held.has_room(entry, concurrency) {
                    let before = Part::of(entry);
                    entry.asked += 1;
                    held.change(&entry.tenant_id, before, Part::of(entry));
                    any = true;
                }
            }
            if !any {
                return entries.iter().map(|entry| entry.asked).collect();
            }
        }
    }

    #[test]
    fn whoever_fills_a_worker_leaves_room_for_whoever_comes_next() {
        let mut held = Held::default();
        assert_eq!(fill(&mut held, &["whale"], KIB, 512), [342]);
        assert_eq!(fill(&mut held, &["small"], KIB, 512), [114]);
        assert_eq!(fill(&mut held, &["smaller"], KIB, 512), [38]);
        assert_eq!(fill(&mut Held::default(), &["one", "two"], KIB, 512), [205, 205]);
    }

    #[test]
    fn one_tenants_unknown_endpoints_leave_room_for_those_of_others() {
        let mut held = Held::default();
        assert_eq!(fill_with(&mut held, vec![unknown("whale", KIB)], 512), [171]);
        assert_eq!(fill_with(&mut held, vec![unknown("small", KIB)], 512), [57]);
        // The part of the living is theirs all the same.
        assert_eq!(fill(&mut held, &["living"], KIB, 512), [190]);
    }

    #[test]
    fn what_an_endpoint_holds_moves_with_its_class() {
        let (mut held, mut entry) = (Held::default(), unknown("acme", KIB));
        let before = Part::of(&entry);
        entry.asked = 2;
        held.change(&entry.tenant_id, before, Part::of(&entry));
        let before = Part::of(&entry);
        entry.standing.note_success(1, std::time::Instant::now(), std::time::Instant::now());
        held.change(&entry.tenant_id, before, Part::of(&entry));
        assert_eq!(held.classes.map(|load| load.deliveries), [2, 0, 0]);
        assert_eq!(held.tenants[&entry.tenant_id], held.classes);
    }

    #[test]
    fn large_payloads_of_one_tenant_leave_room_for_those_of_others() {
        let mut held = Held::default();
        assert_eq!(fill(&mut held, &["heavy"], 256 * KIB, 512), [86]);
        assert_eq!(fill(&mut held, &["light"], KIB, 512), [284]);
    }

    #[test]
    fn the_smallest_workers_serve_everyone() {
        for (concurrency, most) in [(1, 1), (2, 2), (3, 2), (4, 3), (8, 6)] {
            assert_eq!(fill(&mut Held::default(), &["alone"], KIB, concurrency), [most], "of {concurrency}");
        }
    }

    #[test]
    fn sums_are_zero_when_nothing_is_held() {
        let (mut held, mut entry) = (Held::default(), proven("acme", KIB));
        let before = Part::of(&entry);
        (entry.asked, entry.held_bytes) = (3, 5 * KIB);
        let after = Part::of(&entry);
        held.change(&entry.tenant_id, before, after);
        assert_eq!((held.total(), held.tenants.len()), (3, 1));
        held.change(&entry.tenant_id, after, before);
        assert_eq!((held.all, held.tenants.len(), held.lanes()), (Load::default(), 0, LaneSet::NONE));
    }
}
