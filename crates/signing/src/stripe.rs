//! Stripe's scheme: `Stripe-Signature: t=<unix>,v1=<hex HMAC-SHA256(secret, "<t>.<body>")>`, one `v1` per valid secret.
//!
//! Source: Stripe's "Verify webhook signatures manually". The key is the secret string as it stands, `whsec_` included.

use std::time::Duration;

use crate::header::STRIPE_SIGNATURE;
use crate::mac::{any_matches, hmac_sha256};
use crate::{HEADER_BYTES_MAX, SIGNATURES_MAX, Secret, VerifyError, timestamp};

/// The header's value for one call at `timestamp` (seconds since the Unix epoch), one signature per secret in the
/// order given.
#[must_use]
pub fn sign(timestamp: i64, body: &[u8], secrets: &[&Secret]) -> String {
    let timestamp = timestamp.to_string();
    let mut value = format!("t={timestamp}");
    for secret in secrets {
        value.push_str(",v1=");
        value.push_str(&signature(&timestamp, body, secret));
    }
    value
}

/// Verifies a header's value and answers its timestamp: one signature under one of `secrets` is enough.
///
/// Schemes other than `v1` are passed over, as Stripe asks for (its test mode sends `v0`).
///
/// # Errors
/// [`VerifyError::Malformed`] when the value is not of the scheme's form or exceeds its bounds,
/// [`VerifyError::TimestampOutsideTolerance`], [`VerifyError::NoMatch`].
pub fn verify(
    value: &str,
    body: &[u8],
    secrets: &[&Secret],
    now_unix: i64,
    tolerance: Duration,
) -> Result<i64, VerifyError> {
    let (presented_at, presented) = parse(value)?;
    let timestamp = timestamp::parse(presented_at, STRIPE_SIGNATURE)?;
    timestamp::check(timestamp, now_unix, tolerance)?;
    let expected: Vec<String> = secrets.iter().map(|secret| signature(presented_at, body, secret)).collect();
    if any_matches(&expected, &presented) { Ok(timestamp) } else { Err(VerifyError::NoMatch) }
}

fn signature(timestamp: &str, body: &[u8], secret: &Secret) -> String {
    hex::encode(hmac_sha256(secret.stripe_key(), &[timestamp.as_bytes(), b".", body]))
}

/// The timestamp's text and the `v1` signatures of a value.
fn parse(value: &str) -> Result<(&str, Vec<&str>), VerifyError> {
    let malformed = |reason| VerifyError::Malformed { header: STRIPE_SIGNATURE, reason };
    if value.len() > HEADER_BYTES_MAX {
        return Err(malformed("the value is too long"));
    }
    let mut timestamp = None;
    let mut signatures = Vec::new();
    for (index, item) in value.split(',').enumerate() {
        if index > SIGNATURES_MAX {
            return Err(malformed("there are too many signatures"));
        }
        match item.split_once('=').ok_or_else(|| malformed("an item is not of the form name=value"))? {
            ("t", _) if timestamp.is_some() => return Err(malformed("there are two timestamps")),
            ("t", text) => timestamp = Some(text),
            ("v1", signature) => signatures.push(signature),
            _ => {}
        }
    }
    let timestamp = timestamp.ok_or_else(|| malformed("there is no timestamp"))?;
    if signatures.is_empty() {
        return Err(malformed("there is no v1 signature"));
    }
    Ok((timestamp, signatures))
}
