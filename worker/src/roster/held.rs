//! Sums over all endpoints, kept up to date with every change, so that a plan need not add up thousands of entries.

use trunkline_domain::{Lane, LaneSet};

use super::entry::Entry;
use super::standing::Class;

/// Payload bytes of claimed deliveries at one time: it bounds the worker's memory. A claim in progress may exceed it by what
/// its payloads are larger than those before.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// What one endpoint adds.
#[derive(Clone, Copy)]
pub(super) struct Part {
    lane: Lane,
    class: Class,
    outstanding: usize,
}

impl Part {
    pub(super) fn of(entry: &Entry) -> Self {
        Self { lane: entry.lane, class: entry.standing.class(), outstanding: entry.outstanding() }
    }
}

pub(super) struct Held {
    classes: [usize; Class::ALL.len()],
    lanes: [usize; trunkline_domain::lane::LANES.unsigned_abs() as usize],
    bytes: usize,
}

impl Default for Held {
    fn default() -> Self {
        Self { classes: [0; 3], lanes: [0; 64], bytes: 0 }
    }
}

impl Held {
    pub(super) fn change(&mut self, before: Part, after: Part) {
        self.classes[before.class as usize] -= before.outstanding;
        self.classes[after.class as usize] += after.outstanding;
        let lane = usize::from(after.lane.number().unsigned_abs());
        self.lanes[lane] = self.lanes[lane] + after.outstanding - before.outstanding;
    }

    /// Payloads that were claimed.
    pub(super) fn hold_bytes(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// The payload of an attempt that ended, or of a delivery that was given back.
    pub(super) fn forget_bytes(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    pub(super) fn total(&self) -> usize {
        self.classes.iter().sum()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_full(&self, class: Class, concurrency: usize) -> bool {
        self.classes[class as usize] >= class.share_of(concurrency)
    }

    pub(super) fn is_heavy(bytes: usize) -> bool {
        bytes > BYTES_MAX
    }

    pub(super) fn lanes(&self) -> LaneSet {
        Lane::all().zip(self.lanes).filter(|(_, held)| *held > 0).map(|(lane, _)| lane).collect()
    }
}
