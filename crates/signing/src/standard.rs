//! Standard Webhooks 1.0.0: `webhook-signature: v1,<base64 HMAC-SHA256(key, "<id>.<timestamp>.<body>")>`, separated by
//! spaces while a rotation overlaps.
//!
//! Source: the Standard Webhooks specification 1.0.0, "Signature scheme" and "Webhook headers".

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::header::{WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};
use crate::mac::{any_matches, hmac_sha256};
use crate::{HEADER_BYTES_MAX, SIGNATURES_MAX, Secret, VerifyError, timestamp};

/// The longest id that is read, in bytes; ids are names, and receivers keep them to recognise duplicates.
pub const WEBHOOK_ID_BYTES_MAX: usize = 256;

/// The three header values of one call, as they were received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandardHeaders<'a> {
    /// Value of [`WEBHOOK_ID`].
    pub id: &'a str,
    /// Value of [`WEBHOOK_TIMESTAMP`].
    pub timestamp: &'a str,
    /// Value of [`WEBHOOK_SIGNATURE`].
    pub signature: &'a str,
}

/// The value of `webhook-signature` for one call at `timestamp` (seconds since the Unix epoch), one signature per
/// secret in the order given. `id` must not contain a full stop, which separates the signed parts.
#[must_use]
pub fn sign(id: &str, timestamp: i64, body: &[u8], secrets: &[&Secret]) -> String {
    let timestamp = timestamp.to_string();
    let mut value = String::with_capacity(secrets.len() * 48);
    for secret in secrets {
        value.push_str(if value.is_empty() { "v1," } else { " v1," });
        value.push_str(&signature(id, &timestamp, body, secret));
    }
    value
}

/// Verifies the three values and answers the timestamp: one signature under one of `secrets` is enough.
///
/// Versions other than `v1` are passed over, as the specification asks for (`v1a` is its asymmetric scheme).
///
/// # Errors
/// [`VerifyError::Malformed`] when a value is not of the scheme's form or exceeds its bounds,
/// [`VerifyError::TimestampOutsideTolerance`], [`VerifyError::NoMatch`].
pub fn verify(
    headers: StandardHeaders<'_>,
    body: &[u8],
    secrets: &[&Secret],
    now_unix: i64,
    tolerance: Duration,
) -> Result<i64, VerifyError> {
    check_id(headers.id)?;
    let timestamp = timestamp::parse(headers.timestamp, WEBHOOK_TIMESTAMP)?;
    let presented = parse(headers.signature)?;
    timestamp::check(timestamp, now_unix, tolerance)?;
    let sign_again = |secret: &&Secret| signature(headers.id, headers.timestamp, body, secret);
    let expected: Vec<String> = secrets.iter().map(sign_again).collect();
    if any_matches(&expected, &presented) { Ok(timestamp) } else { Err(VerifyError::NoMatch) }
}

fn signature(id: &str, timestamp: &str, body: &[u8], secret: &Secret) -> String {
    let parts: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    STANDARD.encode(hmac_sha256(secret.standard_key(), &parts))
}

/// With a full stop in the id, one signature would be good for two readings of the same bytes.
fn check_id(id: &str) -> Result<(), VerifyError> {
    let visible = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.');
    if !visible || id.len() > WEBHOOK_ID_BYTES_MAX {
        let reason = "the id is not 1 to 256 visible ASCII characters without a full stop";
        return Err(VerifyError::Malformed { header: WEBHOOK_ID, reason });
    }
    Ok(())
}

/// The `v1` signatures of a value.
fn parse(value: &str) -> Result<Vec<&str>, VerifyError> {
    let malformed = |reason| VerifyError::Malformed { header: WEBHOOK_SIGNATURE, reason };
    if value.len() > HEADER_BYTES_MAX {
        return Err(malformed("the value is too long"));
    }
    let mut signatures = Vec::new();
    for (index, item) in value.split(' ').enumerate() {
        if index >= SIGNATURES_MAX {
            return Err(malformed("there are too many signatures"));
        }
        let (version, signature) =
            item.split_once(',').ok_or_else(|| malformed("an item is not of the form version,signature"))?;
        if version == "v1" {
            signatures.push(signature);
        }
    }
    if signatures.is_empty() { Err(malformed("there is no v1 signature")) } else { Ok(signatures) }
}
