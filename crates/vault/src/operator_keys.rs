//! The keys of those who run an installation: settings, not rows.

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// SHA-256 of every operator key, so that keys of any length are compared in the same time.
pub struct OperatorKeys(Vec<[u8; 32]>);

impl OperatorKeys {
    /// Takes the keys as they were set. Without any, nobody is an operator.
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a str>) -> Self {
        Self(keys.into_iter().map(|key| Sha256::digest(key).into()).collect())
    }

    /// Whether `key` is one of them. Which one, and how much of it was right, does not show in the time it takes.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        let presented: [u8; 32] = Sha256::digest(key).into();
        self.0.iter().fold(Choice::from(0), |found, known| found | known.ct_eq(&presented)).into()
    }
}

/// What an audit calls a key, which it must not know: the first 12 hexadecimal digits of its SHA-256. Keys are long and random, so that
/// nothing of one can be told from them.
#[must_use]
pub fn fingerprint(key: &str) -> String {
    Sha256::digest(key)[..6].iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// The key in the value of an `Authorization` header; its scheme is compared without case (RFC 9110, 11.1).
#[must_use]
pub fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, key) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim_start_matches(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_keys_that_were_set_are_operators() {
        let keys = OperatorKeys::new(["one-long-operator-key", "another-operator-key"]);
        for (key, expected) in [
            ("one-long-operator-key", true),
            ("another-operator-key", true),
            ("one-long-operator-ke", false),
            ("one-long-operator-keys", false),
            ("", false),
        ] {
            assert_eq!(keys.contains(key), expected, "{key:?}");
        }
        assert!(!OperatorKeys::new([]).contains(""), "no key set is no key known");
    }

    #[test]
    fn the_scheme_is_bearer_in_any_case() {
        for (value, key) in [
            ("Bearer k", Some("k")),
            ("bearer   k", Some("k")),
            ("BEARER k", Some("k")),
            ("Bearer ", Some("")),
            ("Bearer", None),
            ("Basic k", None),
            ("", None),
        ] {
            assert_eq!(bearer(value), key, "{value:?}");
        }
    }
}
