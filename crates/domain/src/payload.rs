//! Which payloads are accepted: one JSON object (RFC 8259, with the stricter choices of I-JSON, RFC 7493).
//!
//! The bytes are only looked at, never rewritten: numbers of any size pass and stay as they were written. A scanner of
//! our own rather than a general parser, because those read numbers into floats (and refuse `1e999999`), keep the last
//! of two equal keys in silence, or build a tree of what is only to be stored.

#[cfg(test)]
mod judged;
mod scan;

use crate::event::{EventType, InvalidEventType};

/// The deepest nesting of arrays and objects.
pub const DEPTH_MAX: usize = 64;

/// The largest payload that payload filters judge.
pub const JUDGED_BYTES_MAX: usize = 64 * 1024;

/// The largest exponent of a number, without its sign, in a payload that payload filters judge.
pub const EXPONENT_MAX: u32 = 1_000;

/// The most steps that the payload filters asked for one event may take together; past it they match nothing. PostgreSQL's
/// `trunkline.judge` has the same number: a tenth of a second at worst.
pub const STEPS_MAX: u64 = 500_000;

/// The most steps that judging a payload may take where all filters of its tenant weigh this much, as `trunkline.judge` counts them:
/// each is taken once for each item, and a payload has no more items in a row than commas and levels. Those whose type does not
/// match are not asked, so that even where all together would be too many, some may be judged.
pub fn steps(payload: &[u8], filter_weight: u64) -> u64 {
    let commas = payload.iter().filter(|byte| **byte == b',').count();
    filter_weight.saturating_mul((commas + payload.len() / 64 + DEPTH_MAX) as u64).min(STEPS_MAX)
}

/// What the scan learned about an accepted payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadFacts {
    /// The top-level string member `type`, else `event`, unescaped.
    pub declared_type: Option<String>,
    /// Why PostgreSQL cannot judge it; `None` = it can.
    pub not_judged: Option<NotJudged>,
}

/// Why a payload satisfies no payload filter: cast to `jsonb` it would fail its whole batch, or become something huge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotJudged {
    /// Larger than [`JUDGED_BYTES_MAX`].
    #[error("the payload is larger than 64 KiB")]
    TooLarge,
    /// `jsonb` has no U+0000.
    #[error("a string of the payload holds the character U+0000")]
    NulCharacter,
    /// `jsonb` writes all digits out: `1e131071` takes 55 kB.
    #[error("a number of the payload has an exponent beyond 1,000")]
    HugeExponent,
}

impl PayloadFacts {
    /// The event type that the payload names itself, if it names one.
    ///
    /// # Errors
    /// When the member is there but is no event type.
    pub fn event_type(self) -> Result<Option<EventType>, InvalidEventType> {
        self.declared_type.map(EventType::try_from).transpose()
    }
}

/// Why a payload is refused. Offsets count bytes from 0; nothing of the content is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Not a byte.
    #[error("the body is empty; send one JSON object")]
    Empty,
    /// RFC 8259 section 8.1 forbids a byte order mark.
    #[error("the body starts with a byte order mark; send UTF-8 without one")]
    ByteOrderMark,
    /// RFC 8259 section 8.1 demands UTF-8.
    #[error("the body is not valid UTF-8 at byte {0}")]
    NotUtf8(usize),
    /// Valid JSON perhaps, but no object.
    #[error("the body must be a JSON object, such as {{\"type\":\"order.created\"}}")]
    NotAnObject,
    /// Something that JSON does not allow here.
    #[error("the body is not valid JSON: unexpected character at byte {0}")]
    Unexpected(usize),
    /// It stops in the middle.
    #[error("the body is not valid JSON: it ends too early, at byte {0}")]
    EndsEarly(usize),
    /// More than one value.
    #[error("the body holds more than one JSON value: something follows at byte {0}")]
    Trailing(usize),
    /// Deeper than [`DEPTH_MAX`].
    #[error("the body nests deeper than {DEPTH_MAX} levels at byte {0}")]
    TooDeep(usize),
    /// The same key twice in one object, however it is escaped.
    #[error("a key occurs twice in one object, the second time at byte {0}")]
    DuplicateKey(usize),
    /// Half of a UTF-16 pair, which is no character.
    #[error("a string holds a lone surrogate (\\ud800 to \\udfff) at byte {0}")]
    LoneSurrogate(usize),
}

/// Reads `body` once and tells whether it is a payload.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn inspect(body: &[u8]) -> Result<PayloadFacts, PayloadError> {
    if body.is_empty() {
        return Err(PayloadError::Empty);
    }
    if body.starts_with(b"\xef\xbb\xbf") {
        return Err(PayloadError::ByteOrderMark);
    }
    let text = std::str::from_utf8(body).map_err(|error| PayloadError::NotUtf8(error.valid_up_to()))?;
    scan::Scanner::new(text).document()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn declared(body: &str) -> Option<String> {
        inspect(body.as_bytes()).unwrap().declared_type
    }

    #[test]
    fn what_json_allows_is_accepted() {
        let deepest = format!("{{\"a\":{}{}}}", "[".repeat(63), "]".repeat(63));
        for good in [
            "{}",
            " \t\r\n{ } \n",
            r#"{"a":1e999999,"b":-0.0E-12,"c":123456789012345678901234567890}"#,
            r#"{"\u0000":"\u0000","x":"\ud83d\ude00","y":"é😀","z":"\/\b\f\n\r\t\"\\"}"#,
            r#"{"a":{"k":1},"b":{"k":1},"c":[true,false,null,[],{}]}"#,
            &deepest,
        ] {
            assert!(inspect(good.as_bytes()).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        use PayloadError::*;
        let too_deep = format!("{{\"a\":{}{}}}", "[".repeat(64), "]".repeat(64));
        let table: [(&[u8], PayloadError); 30] = [
            (b"", Empty),
            (b"  ", EndsEarly(2)),
            (b"\xef\xbb\xbf{}", ByteOrderMark),
            (b"{\"a\":\"\xff\"}", NotUtf8(6)),
            (b"{\"a\":\"\xed\xa0\x80\"}", NotUtf8(6)),
            (b"[]", NotAnObject),
            (b"\"x\"", NotAnObject),
            (b"null", NotAnObject),
            (b"x", NotAnObject),
            (b"{", EndsEarly(1)),
            (b"{\"a\"", EndsEarly(4)),
            (b"{\"a\":\"x", EndsEarly(7)),
            (b"{\"a\":1} {}", Trailing(8)),
            (b"{}\0", Trailing(2)),
            (b"{a:1}", Unexpected(1)),
            (b"{\"a\" 1}", Unexpected(5)),
            (b"{\"a\":01}", Unexpected(6)),
            (b"{\"a\":+1}", Unexpected(5)),
            (b"{\"a\":1.}", Unexpected(7)),
            (b"{\"a\":.5}", Unexpected(5)),
            (b"{\"a\":1e}", Unexpected(7)),
            (b"{\"a\":NaN}", Unexpected(5)),
            (b"{\"a\":tru}", Unexpected(5)),
            (b"{\"a\":1,}", Unexpected(7)),
            (b"{\"a\":\"\n\"}", Unexpected(6)),
            (b"{\"a\":\"\\x\"}", Unexpected(7)),
            (b"{\"a\":1,\"\\u0061\":2}", DuplicateKey(7)),
            (b"{\"a\":\"\\ud800\"}", LoneSurrogate(6)),
            (b"{\"a\":\"\\udc00\\ud800\"}", LoneSurrogate(6)),
            (too_deep.as_bytes(), TooDeep(68)),
        ];
        for (body, expected) in table {
            assert_eq!(inspect(body), Err(expected), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn many_keys_are_still_compared() {
        let keys: Vec<_> = (0..1_000).map(|index| format!("\"k{index}\":0")).collect();
        assert!(inspect(format!("{{{}}}", keys.join(",")).as_bytes()).is_ok());
        let twice = format!("{{{},\"k7\":1}}", keys.join(","));
        assert!(matches!(inspect(twice.as_bytes()), Err(PayloadError::DuplicateKey(_))));
    }

    #[test]
    fn the_type_is_the_member_type_else_event() {
        assert_eq!(declared(r#"{"event":"b","type":"a"}"#).as_deref(), Some("a"));
        assert_eq!(declared(r#"{"event":"b"}"#).as_deref(), Some("b"));
        assert_eq!(declared(r#"{"type":7,"event":"b"}"#).as_deref(), Some("b"));
        assert_eq!(declared(r#"{"t\u0079pe":"\u0061"}"#).as_deref(), Some("a"));
        assert_eq!(declared(r#"{"x":{"type":"a"}}"#), None);
    }

    proptest! {
        #[test]
        fn every_object_that_serde_writes_is_accepted(
            keys in proptest::collection::hash_set(".{0,6}", 0..6), value in any::<f64>(), text in ".{0,20}",
        ) {
            let object: serde_json::Map<_, _> = keys.into_iter().enumerate().map(|(index, key)| {
                let value = match index % 3 {
                    0 => serde_json::json!(value),
                    1 => serde_json::json!({ text.clone(): [text.clone(), null_of(&text)] }),
                    _ => serde_json::json!(text),
                };
                (key, value)
            }).collect();
            prop_assert!(inspect(serde_json::to_string(&object).unwrap().as_bytes()).is_ok());
        }

        #[test]
        fn what_is_accepted_is_json_to_serde_too(body in r#"[{}\[\]",:0-9eE+.\\ualsetrn -]{0,24}"#) {
            if inspect(body.as_bytes()).is_ok() {
                prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&body).is_ok(), "{body}");
            }
        }

        #[test]
        fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = inspect(&body);
        }
    }

    fn null_of(_: &str) -> serde_json::Value {
        serde_json::Value::Null
    }
}
