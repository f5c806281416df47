//! What is wrong with the settings, said so that a person can put it right.

use std::fmt;

/// One setting that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingProblem {
    /// The setting as it was written: an environment variable, or a dotted key and its file.
    pub key: String,
    /// What is wrong and what would be accepted. Never the value: it may be a secret.
    pub reason: String,
}

impl fmt::Display for SettingProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.reason)
    }
}

/// The settings cannot be used. Holds every problem found, so that one run shows them all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", in_lines(.problems))]
pub struct SettingsError {
    problems: Vec<SettingProblem>,
}

impl SettingsError {
    pub(super) fn new(problems: Vec<SettingProblem>) -> Self {
        Self { problems }
    }

    pub(super) fn one(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(vec![SettingProblem { key: key.into(), reason: reason.into() }])
    }

    /// Every refused setting, at least one, in the order of the settings' documentation.
    #[must_use]
    pub fn problems(&self) -> &[SettingProblem] {
        &self.problems
    }
}

fn in_lines(problems: &[SettingProblem]) -> String {
    match problems {
        [only] => format!("wrong setting: {only}"),
        several => {
            let lines: String = several.iter().map(|problem| format!("\n  {problem}")).collect();
            format!("{} wrong settings:{lines}", several.len())
        }
    }
}
