//! One finding.

use serde::Serialize;
use trunkline_store::StoreError;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and a person should know.
    Warn,
    /// It does not work, or may lose events.
    Fail,
}

/// What was looked at, what was seen, and what to do about it.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    name: &'static str,
    pub(super) verdict: Verdict,
    seen: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'static str>,
}

impl Check {
    pub(super) fn ok(name: &'static str, seen: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, seen: seen.into(), advice: None }
    }

    pub(super) fn warn(name: &'static str, seen: impl Into<String>, advice: &'static str) -> Self {
        Self { name, verdict: Verdict::Warn, seen: seen.into(), advice: Some(advice) }
    }

    pub(super) fn fail(name: &'static str, seen: impl Into<String>, advice: &'static str) -> Self {
        Self { name, verdict: Verdict::Fail, seen: seen.into(), advice: Some(advice) }
    }

    /// `ok`, or `otherwise` with advice.
    pub(super) fn when(
        ok: bool,
        otherwise: Verdict,
        name: &'static str,
        seen: String,
        advice: &'static str,
    ) -> Self {
        if ok { Self::ok(name, seen) } else { Self { name, verdict: otherwise, seen, advice: Some(advice) } }
    }

    /// What was found; a warning where this login may not look, which is no fault of what it looks at.
    ///
    /// # Errors
    /// When the database is not available.
    pub(super) fn if_allowed(
        name: &'static str,
        found: Result<Self, StoreError>,
    ) -> Result<Self, StoreError> {
        match found {
            Err(error) if error.is_forbidden() => Ok(Self::warn(
                name,
                format!("this login may not look: {error}"),
                "run doctor as a member of trunkline_operator, such as the api's login, or as the owner",
            )),
            found => found,
        }
    }

    /// For a person: verdict, name, what was seen, and below it what to do.
    pub(super) fn describe(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        let advice = self.advice.map(|advice| format!("\n      -> {advice}")).unwrap_or_default();
        format!("{verdict}  {:<20} {}{advice}", self.name, self.seen)
    }
}
