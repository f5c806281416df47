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
