//! Time in pieces.

use std::str::FromStr;

use chrono::{DateTime, Duration, Utc};

use crate::problem::Problem;

/// Enough for a day of five minutes or a month of four hours; each is a walk of its own through an index.
const BUCKETS_MAX: usize = 200;

/// As far as one request looks back.
const RANGE_MAX: Duration = Duration::days(31);

/// How long a bucket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BucketWidth {
    word: &'static str,
    seconds: i64,
}

impl BucketWidth {
    /// The one that is taken if none is said.
    pub(super) const HOUR: Self = Self { word: "1h", seconds: 3_600 };

    const ALL: [Self; 4] = [
        Self { word: "1m", seconds: 60 },
        Self { word: "5m", seconds: 300 },
        Self::HOUR,
        Self { word: "1d", seconds: 86_400 },
    ];

    /// As a query says it.
    pub(super) fn as_str(self) -> &'static str {
        self.word
    }
}

/// No width that there is.
pub(super) struct InvalidWidth;

impl FromStr for BucketWidth {
    type Err = InvalidWidth;

    fn from_str(text: &str) -> Result<Self, InvalidWidth> {
        Self::ALL.into_iter().find(|width| width.word == text).ok_or(InvalidWidth)
    }
}

/// Consecutive pieces of a time, oldest first. They begin at whole widths (UTC); the first and the last are cut where the time
/// begins and ends.
#[derive(Debug)]
pub(super) struct Buckets {
    pub(super) bounds: Vec<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Buckets {
    /// Cuts a time.
    ///
    /// # Errors
    /// 400 when the time is none, too long, or in too many pieces.
    pub(super) fn between(
        after: DateTime<Utc>,
        before: DateTime<Utc>,
        width: BucketWidth,
    ) -> Result<Self, Problem> {
        if after >= before {
            return Err(Problem::bad_query(Some("after"), "after accepts a time earlier than before."));
        }
        if before - after > RANGE_MAX {
            return Err(Problem::bad_query(
                Some("after"),
                "after accepts a time at most 31 days earlier than before.",
            ));
        }
        let mut bounds = Vec::new();
        let mut starts_at = after;
        while starts_at < before {
            if bounds.len() == BUCKETS_MAX {
                let detail = format!(
                    "These are more than {BUCKETS_MAX} buckets; choose wider ones, or a shorter range."
                );
                return Err(Problem::bad_query(Some("bucket"), &detail));
            }
            let into = starts_at.timestamp().rem_euclid(width.seconds);
            let whole = starts_at.timestamp() - into + width.seconds;
            let ends_at = DateTime::from_timestamp(whole, 0).map_or(before, |whole| whole.min(before));
            bounds.push((starts_at, ends_at));
            starts_at = ends_at;
        }
        Ok(Self { bounds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn cut(after: &str, before: &str, width: &str) -> Vec<(String, String)> {
        let width = width.parse().ok().unwrap();
        let buckets = Buckets::between(at(after), at(before), width).unwrap();
        let text = |time: DateTime<Utc>| time.format("%d %H:%M:%S").to_string();
        buckets.bounds.into_iter().map(|(from, until)| (text(from), text(until))).collect()
    }

    #[test]
    fn buckets_begin_at_whole_widths_and_end_with_the_time() {
        let pairs =
            [("01 10:30:05", "01 11:00:00"), ("01 11:00:00", "01 12:00:00"), ("01 12:00:00", "01 12:10:00")];
        let pairs = pairs.map(|(from, until)| (from.to_owned(), until.to_owned()));
        assert_eq!(cut("2026-01-01T10:30:05Z", "2026-01-01T12:10:00Z", "1h"), pairs);
        assert_eq!(cut("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "1d").len(), 31);
        assert_eq!(cut("2026-01-01T00:00:00Z", "2026-01-01T16:40:00Z", "5m").len(), 200);
    }

    #[test]
    fn too_many_too_long_and_upside_down_are_refused() {
        for (after, before, width) in [
            ("2026-01-01T00:00:00Z", "2026-01-01T16:40:01Z", "5m"),
            ("2026-01-01T00:00:00Z", "2026-02-01T00:00:01Z", "1d"),
            ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", "1h"),
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "1h"),
        ] {
            let width = width.parse().ok().unwrap();
            assert!(Buckets::between(at(after), at(before), width).is_err(), "{after} {before}");
        }
        assert!("2h".parse::<BucketWidth>().is_err());
    }
}
