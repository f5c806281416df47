//! The `Retry-After` header (RFC 9110 section 10.2.3), as an untrusted endpoint may write it.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

/// The longest wait an endpoint may ask for.
pub const HINT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long to wait from `now`: whole seconds or an HTTP date, at most [`HINT_MAX`].
///
/// `None` for anything else and for waits that are over: garbage changes nothing.
pub fn parse(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim_matches([' ', '\t']);
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a u64 holds is a very long wait, not garbage.
        value.parse().map_or(HINT_MAX, Duration::from_secs)
    } else {
        httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::from(now)).ok()?
    };
    (!wait.is_zero()).then_some(wait.min(HINT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn seconds_and_dates_are_understood_and_clamped() {
        let now = DateTime::from_timestamp(784_111_700, 0).unwrap();
        let seconds = |count| Some(Duration::from_secs(count));
        for (value, expected) in [
            ("1", seconds(1)),
            (" 120\t", seconds(120)),
            ("0", None),
            ("999999999999999999999999999", Some(HINT_MAX)),
            ("86401", Some(HINT_MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", seconds(77)),
            ("Sun, 06 Nov 1994 08:48:20 GMT", None),
            ("Sunday, 06-Nov-94 08:49:37 GMT", seconds(77)),
            ("Sun Nov  6 08:49:37 1994", seconds(77)),
            ("Thu, 01 Jan 1960 00:00:00 GMT", None),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(HINT_MAX)),
            ("Fri, 31 Dec 99999 23:59:59 GMT", None),
            ("120, 240", None),
            ("1e9", None),
            ("\u{feff}1", None),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("+1", None),
            ("1s", None),
            ("\u{0661}", None),
        ] {
            assert_eq!(parse(value, now), expected, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_or_exceeds_the_clamp(value in ".{0,64}", at in -1_000_000_000_000i64..1_000_000_000_000) {
            let now = DateTime::from_timestamp(at, 0).unwrap_or_default();
            prop_assert!(parse(&value, now).is_none_or(|wait| wait <= HINT_MAX));
        }
    }
}
