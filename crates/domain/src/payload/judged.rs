//! Tests: which payloads may be cast to `jsonb`, for filters to judge.

use proptest::prelude::*;

use super::{EXPONENT_MAX, JUDGED_BYTES_MAX, NotJudged, STEPS_MAX, inspect, steps};

fn not_judged(payload: &str) -> Option<NotJudged> {
    inspect(payload.as_bytes()).unwrap_or_else(|error| panic!("{error}: {payload}")).not_judged
}

#[test]
fn what_the_cast_refuses_or_blows_up_is_named() {
    use NotJudged::*;
    let just_fits = format!("{{\"a\":\"{}\"}}", "x".repeat(JUDGED_BYTES_MAX - 8));
    let too_large = format!("{{\"a\":\"{}\"}}", "x".repeat(JUDGED_BYTES_MAX - 7));
    let table: [(&str, Option<NotJudged>); 20] = [
        ("{}", None),
        (&just_fits, None),
        (&too_large, Some(TooLarge)),
        (r#"{"a":"\u0000"}"#, Some(NulCharacter)),
        (r#"{"\u0000":1}"#, Some(NulCharacter)),
        (r#"{"a":"x\"\u0000"}"#, Some(NulCharacter)),
        (r#"{"a":"\\u0000"}"#, None),
        (r#"{"a":"\\\u0000"}"#, Some(NulCharacter)),
        (r#"{"a":"\\\\u0000"}"#, None),
        (r#"{"a":"\u00001"}"#, Some(NulCharacter)),
        (r#"{"a":"\u0001\u00000"}"#, Some(NulCharacter)),
        (r#"{"a":1e1000,"b":1E-1000,"c":1.5e+1000}"#, None),
        (r#"{"a":1e1001}"#, Some(HugeExponent)),
        (r#"{"a":[0,{"b":-0.1E-1001}]}"#, Some(HugeExponent)),
        (r#"{"a":1e+0000000000000000001000}"#, None),
        (r#"{"a":1e99999999999999999999999}"#, Some(HugeExponent)),
        (r#"{"a":"1e999999"}"#, None),
        (r#"{"1e999999":true,"b":false}"#, None),
        (r#"{"a":"\"1e999999"}"#, None),
        (r#"{"a":"\\","b":1e999999}"#, Some(HugeExponent)),
    ];
    for (payload, expected) in table {
        assert_eq!(not_judged(payload), expected, "{}", &payload[..payload.len().min(80)]);
    }
}

#[test]
fn steps_grow_with_filters_and_items_up_to_the_most_that_are_taken() {
    assert_eq!([steps(b"{}", 0), steps(b"{}", 1), steps(br#"{"a":[1,2,3]}"#, 10)], [0, 64, 660]);
    let ones = format!("[{}1]", "1,".repeat(30_000));
    assert_eq!(steps(ones.as_bytes(), 2), 2 * (30_000 + 60_003 / 64 + 64));
    assert_eq!(steps(ones.as_bytes(), 17), STEPS_MAX);
    assert_eq!(steps(b"{}", u64::MAX), STEPS_MAX);
}

proptest! {
    #[test]
    fn of_texts_only_the_nul_character_matters(key in ".{0,8}", text in "[\\\\\"u0e1\0 -~]{0,16}") {
        let payload = serde_json::json!({ key.clone(): [text.clone(), true] }).to_string();
        let holds_nul = key.contains('\0') || text.contains('\0');
        prop_assert_eq!(not_judged(&payload), holds_nul.then_some(NotJudged::NulCharacter), "{}", payload);
    }

    #[test]
    fn of_numbers_only_the_exponent_matters(
        mantissa in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,9})?", exponent: i32, near in -1_010i32..1_010,
    ) {
        for exponent in [exponent, near] {
            let payload = format!("{{\"a\":{mantissa}e{exponent}}}");
            let is_huge = exponent.unsigned_abs() > EXPONENT_MAX;
            prop_assert_eq!(not_judged(&payload), is_huge.then_some(NotJudged::HugeExponent), "{}", payload);
        }
    }
}
