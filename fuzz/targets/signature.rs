//! Signature headers of either scheme: no panic, none that nobody signed is good, and of one that was signed no bit can change.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use trunkline_signing::{Secret, sign, verify_any};

const NOW: i64 = 1_700_000_000;
const TOLERANCE: Duration = Duration::from_secs(300);

fuzz_target!(|input: &[u8]| {
    forged(input);
    altered(input);
});

fn forged(input: &[u8]) {
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
    let now = now.parse().unwrap_or(NOW);
    let verified = verify_any(header, b"{}", &[&secret], now, TOLERANCE);
    assert!(verified.is_err(), "forged: {verified:?}");
}

/// The first three bytes say which bit of what is changed, the rest is the body.
fn altered(input: &[u8]) {
    let [what, place, bit, body @ ..] = input else { return };
    let secret = Secret::generate([7; 32]);
    let signed = sign("evt_1", NOW, body, &[&secret]);
    let schemes: [&[&str]; 2] =
        [&["stripe-signature"], &["webhook-id", "webhook-timestamp", "webhook-signature"]];
    for names in schemes {
        // By this scheme alone: a good signature of the other would do.
        let mut headers: Vec<(&str, String)> = signed
            .pairs()
            .into_iter()
            .map(|(name, value)| (name, value.to_owned()))
            .filter(|(name, _)| names.contains(&name.to_ascii_lowercase().as_str()))
            .collect();
        let is_good = |headers: &[(&str, String)], body: &[u8]| {
            let header = |name: &str| {
                headers
                    .iter()
                    .find(|(one, _)| one.eq_ignore_ascii_case(name))
                    .map(|(_, value)| value.as_str())
            };
            verify_any(header, body, &[&secret], NOW, TOLERANCE).is_ok()
        };
        assert!(is_good(&headers, body), "signed: {headers:?}");
        let mut body = body.to_vec();
        let count = headers.len();
        if usize::from(*what) % (count + 1) == count {
            let length = body.len().max(1);
            let Some(byte) = body.get_mut(usize::from(*place) % length) else { continue };
            *byte ^= 1 << (bit % 8);
        } else {
            let value = &mut headers[usize::from(*what) % (count + 1)].1;
            let mut bytes = value.clone().into_bytes();
            let length = bytes.len();
            // Text stays text: headers are visible ASCII.
            bytes[usize::from(*place) % length] ^= 1 << (bit % 7);
            *value = String::from_utf8(bytes).expect("seven bits are ASCII");
        }
        assert!(!is_good(&headers, &body), "altered: {headers:?} {body:?}");
    }
}
