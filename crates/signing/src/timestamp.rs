//! The signed timestamp: one spelling, and a bounded distance from now.

use std::time::Duration;

use crate::VerifyError;

/// More digits than any time until the year 5138 needs, and few enough that no arithmetic can overflow.
const DIGITS_MAX: usize = 11;

/// Reads seconds since the Unix epoch: ASCII digits without sign, space or leading zero, so that the number and the
/// text that was signed determine each other.
pub(crate) fn parse(text: &str, header: &'static str) -> Result<i64, VerifyError> {
    let digits =
        !text.is_empty() && text.len() <= DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    if !digits || !canonical {
        return Err(VerifyError::Malformed { header, reason: "the timestamp is not in whole seconds" });
    }
    text.parse().map_err(|_| VerifyError::Malformed { header, reason: "the timestamp is too large" })
}

/// Accepts a timestamp at most `tolerance` before or after `now_unix`, both ends included: an old call may be a replay,
/// and one from the future could be replayed for as long as it is ahead.
pub(crate) fn check(timestamp: i64, now_unix: i64, tolerance: Duration) -> Result<(), VerifyError> {
    if timestamp.abs_diff(now_unix) > tolerance.as_secs() {
        return Err(VerifyError::TimestampOutsideTolerance { timestamp, now_unix });
    }
    Ok(())
}
