//! The keys of `secrets.keys` beside what the database has sealed under each: which seals, which is missing, which may go.

use serde::Serialize;
use trunkline_store::endpoints::KeyUse;
use trunkline_vault::Vault;

/// A key, known to the settings, the database, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SealingKey {
    /// `None`: values of headers that were never sealed.
    pub(crate) key_id: Option<String>,
    pub(crate) secrets: i64,
    pub(crate) header_values: i64,
    pub(crate) state: State,
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// The first of the setting.
    Seals,
    /// Further down in the setting, and needed.
    Opens,
    /// Further down in the setting, and nothing is sealed under it.
    Unused,
    /// Needed, and not in the setting.
    Missing,
    /// No key at all: written by hand, or by a release that did not seal headers.
    NeverSealed,
}

impl State {
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Seals => "seals",
            Self::Opens => "opens; seal again with `trunkline secrets reencrypt`",
            Self::Unused => "nothing is sealed under it: it may be removed from secrets.keys",
            Self::Missing => "MISSING from secrets.keys: what it sealed cannot be opened",
            Self::NeverSealed => "in the clear; seal with `trunkline secrets reencrypt`",
        }
    }
}

impl SealingKey {
    /// What is under it.
    pub(crate) fn count(&self) -> i64 {
        self.secrets + self.header_values
    }

    /// Whether what is under it should be sealed again.
    pub(crate) fn is_stale(&self) -> bool {
        matches!(self.state, State::Opens | State::Missing | State::NeverSealed)
    }
}

/// The keys of the setting in its order, then those that only the database knows.
pub(crate) fn sealing_keys(vault: &Vault, uses: Vec<KeyUse>) -> Vec<SealingKey> {
    let mut keys: Vec<SealingKey> = vault
        .key_ids()
        .map(|key_id| SealingKey {
            key_id: Some(key_id.to_owned()),
            secrets: 0,
            header_values: 0,
            state: if key_id == vault.sealing_key_id() { State::Seals } else { State::Unused },
        })
        .collect();
    for used in uses {
        match keys.iter_mut().find(|key| key.key_id == used.key_id) {
            Some(key) => {
                (key.secrets, key.header_values) = (used.secrets, used.header_values);
                if key.state == State::Unused {
                    key.state = State::Opens;
                }
            }
            None => keys.push(SealingKey {
                state: if used.key_id.is_some() { State::Missing } else { State::NeverSealed },
                key_id: used.key_id,
                secrets: used.secrets,
                header_values: used.header_values,
            }),
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_setting_and_of_the_database_are_told_apart() {
        let vault = Vault::new([("new", &[1; 32]), ("old", &[2; 32]), ("older", &[3; 32])]).unwrap();
        let used = |key_id: Option<&str>, secrets, header_values| KeyUse {
            key_id: key_id.map(str::to_owned),
            secrets,
            header_values,
        };
        let keys = sealing_keys(
            &vault,
            vec![
                used(Some("lost"), 1, 0),
                used(Some("new"), 5, 1),
                used(Some("old"), 0, 2),
                used(None, 0, 3),
            ],
        );
        let seen: Vec<_> =
            keys.iter().map(|key| (key.key_id.as_deref(), key.state, key.count(), key.is_stale())).collect();
        assert_eq!(
            seen,
            [
                (Some("new"), State::Seals, 6, false),
                (Some("old"), State::Opens, 2, true),
                (Some("older"), State::Unused, 0, false),
                (Some("lost"), State::Missing, 1, true),
                (None, State::NeverSealed, 3, true),
            ]
        );
    }
}
