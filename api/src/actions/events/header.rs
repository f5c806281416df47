//! Headers of an attempt's request and answer as its tenant sees them.

use serde::Serialize;
use utoipa::ToSchema;

/// Stands for a value that is a secret, or made with one.
pub(super) const MASKED: &str = "***";

/// A header of a request or an answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct Header {
    #[schema(example = "trunkline-attempt")]
    name: String,
    /// `***` = masked: a signature, a cookie, or a header of the tenant's own, which often is a credential.
    #[schema(example = "1")]
    value: String,
}

impl Header {
    pub(super) fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }

    /// From lines `name: value` as they are stored; bytes that are not UTF-8 are replaced.
    pub(super) fn of_lines(lines: &[u8]) -> Vec<Self> {
        let lines = String::from_utf8_lossy(lines);
        lines
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| Self::new(name, value))
            .collect()
    }
}
