//! Name, description, metadata: what only people read.

use std::collections::BTreeMap;

use super::Refused;

const NAME_CHARS_MAX: usize = 100;
const DESCRIPTION_CHARS_MAX: usize = 500;
const METADATA_KEYS_MAX: usize = 50;
const METADATA_KEY_CHARS_MAX: usize = 64;
const METADATA_VALUE_CHARS_MAX: usize = 500;

pub(super) fn check_name(name: &str) -> Result<(), Refused> {
    if is_label(name, NAME_CHARS_MAX) {
        return Ok(());
    }
    Err(Refused::new("name", "accepts 1 to 100 visible characters, without blanks at either end"))
}

pub(super) fn check_description(text: &str) -> Result<(), Refused> {
    if is_text(text, DESCRIPTION_CHARS_MAX) {
        return Ok(());
    }
    Err(Refused::new("description", "accepts at most 500 characters, without control characters"))
}

pub(super) fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), Refused> {
    let are_good = metadata.iter().all(|(key, value)| {
        is_label(key, METADATA_KEY_CHARS_MAX) && is_text(value, METADATA_VALUE_CHARS_MAX)
    });
    if are_good && metadata.len() <= METADATA_KEYS_MAX {
        return Ok(());
    }
    let accepts =
        "accepts an object of at most 50 strings: keys of 1 to 64 visible characters, values of at most 500";
    Err(Refused::new("metadata", accepts))
}

/// One line that can be told from another by looking at it.
fn is_label(text: &str, chars_max: usize) -> bool {
    (1..=chars_max).contains(&text.chars().count())
        && text.trim() == text
        && !text.chars().any(char::is_control)
}

/// Lines; among control characters is the one that PostgreSQL cannot store.
fn is_text(text: &str, chars_max: usize) -> bool {
    let is_break = |char| matches!(char, '\n' | '\r' | '\t');
    text.chars().count() <= chars_max && !text.chars().any(|char| char.is_control() && !is_break(char))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_visible_line() {
        for good in ["a", "orders to the shop", "ünïcode ✓", &"n".repeat(100), &"ü".repeat(100)] {
            assert_eq!(check_name(good), Ok(()), "{good:?}");
        }
        for bad in ["", " ", "a ", " a", "a\nb", "a\0", &"n".repeat(101)] {
            assert_eq!(check_name(bad).unwrap_err().field, "name", "{bad:?}");
        }
    }

    #[test]
    fn a_description_is_text_of_any_lines() {
        for good in ["", "two\nlines\tand a tab", &"ü".repeat(500)] {
            assert_eq!(check_description(good), Ok(()), "{good:?}");
        }
        for bad in ["nul\0", "bell\u{7}", &"d".repeat(501)] {
            assert_eq!(check_description(bad).unwrap_err().field, "description", "{bad:?}");
        }
    }

    #[test]
    fn metadata_are_few_short_strings() {
        let of = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let numbered = |count: usize| -> BTreeMap<String, String> {
            (0..count).map(|number| (number.to_string(), String::new())).collect()
        };
        for good in [
            of(&[]),
            of(&[("team", "shop"), ("note", "")]),
            of(&[(&"k".repeat(64), &"v".repeat(500))]),
            numbered(50),
        ] {
            assert_eq!(check_metadata(&good), Ok(()), "{good:?}");
        }
        for bad in [
            of(&[("", "x")]),
            of(&[(&"k".repeat(65), "x")]),
            of(&[("k", &"v".repeat(501))]),
            of(&[("k", "\0")]),
            numbered(51),
        ] {
            assert_eq!(check_metadata(&bad).unwrap_err().field, "metadata", "{bad:?}");
        }
    }
}
