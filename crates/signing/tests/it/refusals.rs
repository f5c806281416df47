//! Every way in which a request can fail to be verified, and which error tells it.

use std::time::Duration;

use trunkline_signing::{Scheme, Secret, SignatureHeaders, VerifyError, sign, verify_any};

const NOW: i64 = 1_732_406_400;
const TOLERANCE: Duration = Duration::from_secs(300);
const BODY: &[u8] = br#"{"type":"order.paid"}"#;

fn secret() -> Secret {
    Secret::generate([1; 32])
}

fn signed_at(timestamp: i64) -> SignatureHeaders {
    sign("evt_1", timestamp, BODY, &[&secret()])
}

/// Verifies with only these headers present.
fn verify(headers: &[(&str, &str)]) -> Result<Scheme, VerifyError> {
    let lookup = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    verify_any(lookup, BODY, &[&secret()], NOW, TOLERANCE).map(|verified| verified.scheme)
}

fn verify_stripe(value: &str) -> Result<Scheme, VerifyError> {
    verify(&[("Stripe-Signature", value)])
}

fn verify_standard(id: &str, timestamp: &str, signature: &str) -> Result<Scheme, VerifyError> {
    verify(&[("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)])
}

fn is_malformed<T>(result: Result<T, VerifyError>) -> bool {
    matches!(result, Err(VerifyError::Malformed { .. }))
}

#[test]
fn either_scheme_alone_is_enough() {
    let signed = signed_at(NOW);
    assert_eq!(verify_stripe(&signed.stripe_signature), Ok(Scheme::Stripe));
    let standard = verify_standard(&signed.webhook_id, &signed.webhook_timestamp, &signed.webhook_signature);
    assert_eq!(standard, Ok(Scheme::Standard));
}

#[test]
fn stripes_scheme_vouches_for_no_id() {
    let signed = signed_at(NOW);
    let lookup = |name: &str| match name {
        "Stripe-Signature" => Some(signed.stripe_signature.as_str()),
        "webhook-id" => Some("evt_changed"),
        _ => None,
    };
    let verified = verify_any(lookup, BODY, &[&secret()], NOW, TOLERANCE).unwrap();
    assert_eq!(verified.webhook_id, None);
}

#[test]
fn a_scheme_that_is_presented_must_hold() {
    let (good, old) = (signed_at(NOW), sign("evt_1", NOW, b"another body", &[&secret()]));
    for (stripe, standard) in [(&good, &old), (&old, &good)] {
        let mixed =
            SignatureHeaders { stripe_signature: stripe.stripe_signature.clone(), ..standard.clone() };
        assert_eq!(verify(&mixed.pairs()), Err(VerifyError::NoMatch));
    }
}

#[test]
fn what_is_missing_is_named() {
    let signed = signed_at(NOW);
    assert_eq!(verify(&[]), Err(VerifyError::Missing { header: "webhook-signature" }));
    for missing in ["webhook-id", "webhook-timestamp"] {
        let rest: Vec<_> = signed.pairs().into_iter().filter(|(name, _)| *name != missing).collect();
        assert_eq!(verify(&rest), Err(VerifyError::Missing { header: missing }));
    }
}

#[test]
fn time_may_be_off_by_the_tolerance_and_not_by_a_second_more() {
    for (offset, accepted) in [(-300, true), (300, true), (0, true), (-301, false), (301, false)] {
        let signed = signed_at(NOW + offset);
        let standard = verify_standard("evt_1", &signed.webhook_timestamp, &signed.webhook_signature);
        for result in [verify_stripe(&signed.stripe_signature).map(|_| ()), standard.map(|_| ())] {
            let outside = VerifyError::TimestampOutsideTolerance { timestamp: NOW + offset, now_unix: NOW };
            assert_eq!(result, if accepted { Ok(()) } else { Err(outside) });
        }
    }
}

#[test]
fn a_stripe_header_that_cannot_be_read_is_malformed() {
    let good = signed_at(NOW).stripe_signature;
    let (time, signature) = good.split_once(',').unwrap();
    let malformed = [
        String::new(),
        "garbage".into(),
        time.to_owned(),
        signature.to_owned(),
        format!("{good},"),
        format!("{good},{time}"),
        format!("t=,{signature}"),
        format!("t=-1,{signature}"),
        format!("t=+{NOW},{signature}"),
        format!("t=0{NOW},{signature}"),
        format!("t= {NOW},{signature}"),
        format!("t={NOW}.0,{signature}"),
        format!("t=999999999999,{signature}"),
        format!("t=٣,{signature}"),
        format!("{time},v0=abc"),
        format!("{time}{}", format!(",{signature}").repeat(17)),
        format!("{good},v0={}", "0".repeat(4096)),
    ];
    for value in malformed {
        assert!(is_malformed(verify_stripe(&value)), "{value}");
    }
}

#[test]
fn standard_headers_that_cannot_be_read_are_malformed() {
    let signed = signed_at(NOW);
    let (time, good) = (signed.webhook_timestamp.as_str(), signed.webhook_signature.as_str());
    let (many, long) = ([good; 17].join(" "), format!("{good} v2,{}", "A".repeat(4096)));
    for signature in ["", " ", "garbage", "v1", "v2,AAAA", &many, &long, &format!("{good}  {good}")] {
        assert!(is_malformed(verify_standard("evt_1", time, signature)), "{signature}");
    }
    for id in ["", "evt.1", "evt 1", "evt\t1", "évt", &"x".repeat(257)] {
        assert!(is_malformed(verify_standard(id, time, good)), "{id}");
    }
    for time in ["", "-1", "1e9", "01732406400", "1732406400.0", "999999999999", "x"] {
        assert!(is_malformed(verify_standard("evt_1", time, good)), "{time}");
    }
}

#[test]
fn a_signature_has_one_spelling_and_unknown_versions_are_passed_over() {
    let signed = signed_at(NOW);
    let (stripe, standard) = (&signed.stripe_signature, &signed.webhook_signature);
    let hex = stripe.split_once("v1=").unwrap().1;
    for wrong in
        [hex.to_uppercase(), hex[..62].to_owned(), format!("{hex}00"), String::new(), format!(" {hex}")]
    {
        assert_eq!(verify_stripe(&format!("t={NOW},v1={wrong}")), Err(VerifyError::NoMatch), "{wrong}");
    }
    for wrong in [standard.trim_end_matches('='), &standard[..20], "v1,"] {
        assert_eq!(verify_standard("evt_1", &NOW.to_string(), wrong), Err(VerifyError::NoMatch), "{wrong}");
    }
    assert_eq!(verify_stripe(&format!("{stripe},v0=abc,v1=")), Ok(Scheme::Stripe));
    let beside_others = format!("v1a,abc v1,AAAA {standard}");
    assert_eq!(verify_standard("evt_1", &NOW.to_string(), &beside_others), Ok(Scheme::Standard));
}

#[test]
fn no_secret_verifies_nothing() {
    let signed = signed_at(NOW);
    let verified = verify_any(|name| signed.get(name), BODY, &[], NOW, TOLERANCE);
    assert_eq!(verified, Err(VerifyError::NoMatch));
}
