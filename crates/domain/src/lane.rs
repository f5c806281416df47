//! Lanes: the 64 shares into which all work is divided.

/// One of the [`LANES`] shares. A tenant is given one when it is created; every event, delivery and attempt of it
/// carries that lane, so that a worker can own a share of the work and a cluster can store it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane(i16);

/// How many lanes there are. It is written into stored rows, so it can never change.
pub const LANES: i16 = 64;

impl Lane {
    /// The lane with that number, if there is one.
    pub fn new(number: i16) -> Option<Self> {
        (0..LANES).contains(&number).then_some(Self(number))
    }

    /// Its number, 0 to 63.
    pub fn number(self) -> i16 {
        self.0
    }

    /// Every lane, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..LANES).map(Self)
    }
}

/// Some of the lanes: one bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LaneSet(u64);

impl LaneSet {
    /// No lane.
    pub const NONE: Self = Self(0);

    /// Whether the lane is in it.
    pub fn contains(self, lane: Lane) -> bool {
        self.0 & Self::bit(lane) != 0
    }

    /// Adds a lane.
    pub fn insert(&mut self, lane: Lane) {
        self.0 |= Self::bit(lane);
    }

    /// Takes a lane out.
    pub fn remove(&mut self, lane: Lane) {
        self.0 &= !Self::bit(lane);
    }

    /// Those in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those in both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// How many.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its lanes, in order.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = Lane> {
        (0..LANES).map(Lane).filter(move |lane| self.contains(*lane))
    }

    fn bit(lane: Lane) -> u64 {
        1 << lane.0
    }
}

impl FromIterator<Lane> for LaneSet {
    fn from_iter<I: IntoIterator<Item = Lane>>(lanes: I) -> Self {
        let mut set = Self::NONE;
        lanes.into_iter().for_each(|lane| set.insert(lane));
        set
    }
}

/// How many lanes the worker at `rank` of `workers` (from 0, in an order all agree on) should own, so that all are owned
/// and no two differ by more than one.
pub fn fair_share(rank: usize, workers: usize) -> usize {
    let (lanes, workers) = (usize::from(LANES.unsigned_abs()), workers.max(1));
    lanes / workers + usize::from(rank < lanes % workers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_differ_by_one_at_most_and_leave_no_lane() {
        for workers in 1..=130 {
            let shares: Vec<_> = (0..workers).map(|rank| fair_share(rank, workers)).collect();
            assert_eq!(shares.iter().sum::<usize>(), 64, "{workers}");
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1, "{workers}");
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let (first, last) = (Lane(0), Lane(63));
        let mut set: LaneSet = [first, last].into_iter().collect();
        assert_eq!((set.len(), set.iter().collect::<Vec<_>>()), (2, vec![first, last]));
        set.remove(first);
        assert_eq!((set.contains(first), set.contains(last)), (false, true));
        assert_eq!(Lane::all().collect::<LaneSet>().without(set).len(), 63);
    }
}
