//! Signature headers of either scheme: no panic, and none that nobody signed is good.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use trunkline_signing::{Secret, verify_any};

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    let (stripe, id, timestamp, standard, now) = (next(), next(), next(), next(), next());
    let header = |name: &str| match name.to_ascii_lowercase().as_str() {
        "stripe-signature" if !stripe.is_empty() => Some(stripe),
        "webhook-id" => Some(id),
        "webhook-timestamp" => Some(timestamp),
        "webhook-signature" if !standard.is_empty() => Some(standard),
        _ => None,
    };
    let secret = Secret::generate([7; 32]);
    let now = now.parse().unwrap_or(1_700_000_000);
    let verified = verify_any(header, b"{}", &[&secret], now, Duration::from_secs(300));
    assert!(verified.is_err(), "forged: {verified:?}");
});
