//! What is signed is verified; what is changed anywhere is not.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use trunkline_signing::{Secret, SignatureHeaders, sign, verify_any};

/// Seconds since the Unix epoch with ten digits: changing one digit is then always a change of time.
const TIMES: std::ops::Range<i64> = 1_000_000_000..10_000_000_000;

fn secret() -> impl Strategy<Value = Secret> {
    prop_oneof![
        any::<[u8; 32]>().prop_map(Secret::generate),
        "[!-~]{24,64}".prop_filter_map("whsec_ has rules of its own", |text| Secret::parse(&text).ok()),
    ]
}

fn verifies(headers: &SignatureHeaders, body: &[u8], secrets: &[&Secret], now: i64) -> bool {
    verify_any(|name| headers.get(name), body, secrets, now, Duration::from_secs(300)).is_ok()
}

/// The same text with its `index`th character replaced by another one that a header may carry.
fn changed(text: &str, index: prop::sample::Index, by: u8) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = index.index(bytes.len());
    bytes[at] = b'!' + (bytes[at] - b' ' + by - 1) % 94;
    String::from_utf8(bytes).unwrap()
}

proptest! {
    #[test]
    fn every_secret_of_a_rotation_verifies_what_all_of_them_signed(
        id in "[A-Za-z0-9_-]{1,256}",
        at in TIMES,
        body in vec(any::<u8>(), 0..2048),
        secrets in vec(secret(), 1..=6),
        off_by in -300_i64..=300,
    ) {
        let newest_first: Vec<&Secret> = secrets.iter().collect();
        let headers = sign(&id, at, &body, &newest_first);
        for secret in &secrets {
            prop_assert!(verifies(&headers, &body, &[secret], at + off_by));
        }
    }

    #[test]
    fn a_change_anywhere_is_refused(
        body in vec(any::<u8>(), 1..512),
        at in TIMES,
        secret in secret(),
        other in secret(),
        index in any::<prop::sample::Index>(),
        bit in 0_u8..8,
        by in 1_u8..94,
    ) {
        let good = sign("evt_1", at, &body, &[&secret]);
        let now = at;
        prop_assert!(verifies(&good, &body, &[&secret], now));

        let mut other_body = body.clone();
        other_body[index.index(body.len())] ^= 1 << bit;
        prop_assert!(!verifies(&good, &other_body, &[&secret], now));
        prop_assert!(!verifies(&good, &body, &[&other], now));

        let stripe_signature = changed(&good.stripe_signature, index, by);
        let tampered = SignatureHeaders { stripe_signature, ..good.clone() };
        prop_assert!(!verifies(&tampered, &body, &[&secret], now));
        let webhook_id = changed(&good.webhook_id, index, by);
        let tampered = SignatureHeaders { webhook_id, ..good.clone() };
        prop_assert!(!verifies(&tampered, &body, &[&secret], now));
        let webhook_timestamp = changed(&good.webhook_timestamp, index, by);
        let tampered = SignatureHeaders { webhook_timestamp, ..good.clone() };
        prop_assert!(!verifies(&tampered, &body, &[&secret], now));
        let webhook_signature = changed(&good.webhook_signature, index, by);
        let tampered = SignatureHeaders { webhook_signature, ..good.clone() };
        prop_assert!(!verifies(&tampered, &body, &[&secret], now));
    }

    #[test]
    fn no_header_makes_verification_panic(
        stripe_signature in ".{0,200}",
        webhook_id in ".{0,20}",
        webhook_timestamp in "[0-9]{0,30}",
        webhook_signature in "(v1,| |.){0,100}",
        at in any::<i64>(),
    ) {
        let headers = SignatureHeaders { stripe_signature, webhook_id, webhook_timestamp, webhook_signature };
        let verified = verifies(&headers, b"body", &[&Secret::generate([1; 32])], at);
        prop_assert!(!verified);
    }
}
