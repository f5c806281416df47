//! Which events an endpoint gets.

use super::Refused;
use crate::EventType;

const EVENT_TYPES_MAX: usize = 100;
const PAYLOAD_FILTER_BYTES_MAX: usize = 1024;

/// Stands at the end of a pattern for whatever follows the dot.
const ANY: &str = ".*";

pub(super) fn check_event_types(types: &[String]) -> Result<(), Refused> {
    if !(1..=EVENT_TYPES_MAX).contains(&types.len()) {
        return Err(Refused::new("event_types", "accepts 1 to 100 types; null stands for all"));
    }
    match types.iter().find(|wanted| !is_type_or_prefix(wanted)) {
        None => Ok(()),
        Some(_) => {
            let accepts = "accepts exact types of 1 to 128 visible ASCII characters, and prefixes such as order.*, \
                           with a star nowhere but at the end behind a dot";
            Err(Refused::new("event_types", accepts))
        }
    }
}

fn is_type_or_prefix(wanted: &str) -> bool {
    let without_star = wanted.strip_suffix(ANY).unwrap_or(wanted);
    !without_star.is_empty() && !without_star.contains('*') && wanted.parse::<EventType>().is_ok()
}

/// What can be said of a filter without PostgreSQL, which has the last word: see `store`'s `endpoints::check_filter`.
pub(super) fn check_payload_filter(text: &str) -> Result<(), Refused> {
    if !(1..=PAYLOAD_FILTER_BYTES_MAX).contains(&text.len()) {
        return Err(Refused::new("payload_filter", "accepts 1 to 1024 bytes; null stands for no filter"));
    }
    if text.chars().any(|char| char.is_control() && !matches!(char, '\n' | '\r' | '\t')) {
        return Err(Refused::new("payload_filter", "accepts no control characters"));
    }
    // A pattern can be made that takes minutes on a payload that was made for it.
    if text.to_ascii_lowercase().contains("like_regex") {
        return Err(Refused::new("payload_filter", "accepts no like_regex; use == or starts with"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_type_is_exact_or_a_prefix() {
        let many = |count: usize| -> Vec<String> { (0..count).map(|number| format!("t{number}")).collect() };
        let one = |text: &str| vec![text.to_owned()];
        for good in [one("order.created"), one("order.*"), one("a.b.*"), one(&"t".repeat(128)), many(100)] {
            assert_eq!(check_event_types(&good), Ok(()), "{good:?}");
        }
        let bad = [
            "",
            "*",
            ".*",
            "order*",
            "or*er",
            "*.created",
            "a.*.b",
            "order.**",
            "a b",
            "ü",
            &"t".repeat(129),
        ];
        for bad in bad.map(one).into_iter().chain([many(0), many(101)]) {
            assert_eq!(check_event_types(&bad).unwrap_err().field, "event_types", "{bad:?}");
        }
    }

    #[test]
    fn a_filter_is_short_and_without_patterns() {
        for good in ["$.a == 1", "exists($.a)", "$.a == \"ü\"", &"x".repeat(1024)] {
            assert_eq!(check_payload_filter(good), Ok(()), "{good:?}");
        }
        for bad in
            ["", "$.a\0", "$.a like_regex \"x\"", "$.a LIKE_REGEX \"x\"", &"x".repeat(1025), &"ü".repeat(513)]
        {
            assert_eq!(check_payload_filter(bad).unwrap_err().field, "payload_filter", "{bad:?}");
        }
    }
}
