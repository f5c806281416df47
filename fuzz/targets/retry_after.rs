//! `Retry-After` at any time of the calendar: no panic, and never longer than a day.
#![no_main]

use chrono::DateTime;
use libfuzzer_sys::fuzz_target;
use trunkline_domain::retry_after::{HINT_MAX, parse};

fuzz_target!(|input: (i64, &str)| {
    let (now, value) = input;
    let now = DateTime::from_timestamp(now, 0).unwrap_or_default();
    if let Some(wait) = parse(value, now) {
        assert!(!wait.is_zero() && wait <= HINT_MAX, "{wait:?}");
    }
});
