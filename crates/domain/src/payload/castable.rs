//! Which payloads PostgreSQL may be asked to read as `jsonb`, so that a filter can judge them. The cast refuses some JSON, and
//! turns some into far more than it was (18 kB of `1e131071`s into 262 MB, measured): one payload must not fail or slow its
//! neighbours.

/// The largest payload that is judged.
const BYTES_MAX: usize = 64 * 1024;

/// The largest exponent, either way: a number takes at most about a thousand digits then.
const EXPONENT_MAX: u32 = 1_000;

/// Why a payload is not judged by filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotCastable {
    /// More than 64 KiB.
    #[error("it is larger than 64 KiB")]
    TooLarge,
    /// `\u0000`, which no text in PostgreSQL holds.
    #[error("it holds \\u0000")]
    HoldsNul,
    /// Such as `1e999999`.
    #[error("it holds a number with an exponent beyond 1,000")]
    ExponentTooLarge,
}

impl NotCastable {
    /// The word used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::HoldsNul => "holds_nul",
            Self::ExponentTooLarge => "exponent_too_large",
        }
    }
}

/// Why filters do not judge this JSON, if they do not. Of text that is no JSON it says nothing useful, and does no harm.
pub fn why_not_castable(text: &str) -> Option<NotCastable> {
    if text.len() > BYTES_MAX {
        return Some(NotCastable::TooLarge);
    }
    let bytes = text.as_bytes();
    let (mut at, mut in_string) = (0, false);
    while let Some(byte) = bytes.get(at) {
        match byte {
            // What is escaped stands for itself: `\\u0000` is a backslash and five characters.
            b'\\' if in_string && bytes[at + 1..].starts_with(b"u0000") => {
                return Some(NotCastable::HoldsNul);
            }
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            // Outside strings `e` stands in words too, but after a digit only in numbers.
            b'e' | b'E'
                if !in_string && at > 0 && bytes[at - 1].is_ascii_digit() && is_beyond(&bytes[at + 1..]) =>
            {
                return Some(NotCastable::ExponentTooLarge);
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Whether what follows an `e` is beyond the largest exponent.
fn is_beyond(exponent: &[u8]) -> bool {
    let digits = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
    digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .try_fold(0, |value: u32, digit| {
            let value = value * 10 + u32::from(digit - b'0');
            (value <= EXPONENT_MAX).then_some(value)
        })
        .is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_the_cast_refuses_or_blows_up_is_named() {
        use NotCastable::*;
        let just_fits = format!("{{\"a\":\"{}\"}}", "x".repeat(BYTES_MAX - 8));
        let too_large = format!("{{\"a\":\"{}\"}}", "x".repeat(BYTES_MAX - 7));
        let table: [(&str, Option<NotCastable>); 20] = [
            ("{}", None),
            (&just_fits, None),
            (&too_large, Some(TooLarge)),
            (r#"{"a":"\u0000"}"#, Some(HoldsNul)),
            (r#"{"\u0000":1}"#, Some(HoldsNul)),
            (r#"{"a":"x\"\u0000"}"#, Some(HoldsNul)),
            (r#"{"a":"\\u0000"}"#, None),
            (r#"{"a":"\\\u0000"}"#, Some(HoldsNul)),
            (r#"{"a":"\\\\u0000"}"#, None),
            (r#"{"a":"\u00001"}"#, Some(HoldsNul)),
            (r#"{"a":"\u0001\u00000"}"#, Some(HoldsNul)),
            (r#"{"a":1e1000,"b":1E-1000,"c":1.5e+1000}"#, None),
            (r#"{"a":1e1001}"#, Some(ExponentTooLarge)),
            (r#"{"a":[0,{"b":-0.1E-1001}]}"#, Some(ExponentTooLarge)),
            (r#"{"a":1e+0000000000000000001000}"#, None),
            (r#"{"a":1e99999999999999999999999}"#, Some(ExponentTooLarge)),
            (r#"{"a":"1e999999"}"#, None),
            (r#"{"1e999999":true,"b":false}"#, None),
            (r#"{"a":"\"1e999999"}"#, None),
            (r#"{"a":"\\","b":1e999999}"#, Some(ExponentTooLarge)),
        ];
        for (payload, expected) in table {
            assert_eq!(why_not_castable(payload), expected, "{}", &payload[..payload.len().min(80)]);
        }
    }

    proptest! {
        #[test]
        fn of_texts_only_the_nul_character_matters(key in ".{0,8}", text in "[\\\\\"u0e1\0 -~]{0,16}") {
            let payload = serde_json::json!({ key.clone(): [text.clone(), true, null_of(&text)] }).to_string();
            let holds_nul = key.contains('\0') || text.contains('\0');
            prop_assert_eq!(why_not_castable(&payload), holds_nul.then_some(NotCastable::HoldsNul), "{}", payload);
        }

        #[test]
        fn of_numbers_only_the_exponent_matters(mantissa in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,9})?", exponent: i32, near in -1_010i32..1_010) {
            for exponent in [exponent, near] {
                let payload = format!("{{\"a\":{mantissa}e{exponent}}}");
                let beyond = exponent.unsigned_abs() > EXPONENT_MAX;
                prop_assert_eq!(why_not_castable(&payload), beyond.then_some(NotCastable::ExponentTooLarge), "{}", payload);
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,64}") {
            let _ = why_not_castable(&text);
        }
    }

    fn null_of(_: &str) -> serde_json::Value {
        serde_json::Value::Null
    }
}
