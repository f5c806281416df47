//! Percentiles by nearest rank, from every single value: a measure has at most a few million, which fit in memory.

use serde::{Deserialize, Serialize};

/// What a lot of waits were like, in milliseconds; 0 where there were none.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

impl Percentiles {
    pub(crate) fn of_microseconds(mut values: Vec<u32>) -> Self {
        values.sort_unstable();
        let at = |percent: usize| {
            let rank = (values.len() * percent).div_ceil(100).max(1) - 1;
            values.get(rank).map_or(0.0, |value| f64::from(*value) / 1_000.0)
        };
        Self { p50_ms: at(50), p90_ms: at(90), p99_ms: at(99), max_ms: at(100) }
    }

    pub(crate) fn of_nanoseconds(values: impl IntoIterator<Item = u64>) -> Self {
        let in_us = |value: u64| u32::try_from(value / 1_000).unwrap_or(u32::MAX);
        Self::of_microseconds(values.into_iter().map(in_us).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let all = Percentiles::of_microseconds((1..=200).rev().map(|value| value * 1_000).collect());
        assert_eq!((all.p50_ms, all.p90_ms, all.p99_ms, all.max_ms), (100.0, 180.0, 198.0, 200.0));
        let one = Percentiles::of_nanoseconds([1_500_000]);
        assert_eq!((one.p50_ms, one.max_ms), (1.5, 1.5));
        assert_eq!(Percentiles::of_microseconds(Vec::new()).max_ms, 0.0);
    }
}
