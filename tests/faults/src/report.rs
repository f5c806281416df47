//! What a scenario found, as numbers beside the number each must keep to.

use std::fmt::Write;
use std::time::Duration;

/// One number of a scenario.
struct Check {
    what: String,
    measured: String,
    limit: String,
    holds: bool,
}

/// Everything a scenario found.
#[derive(Default)]
pub(crate) struct Report {
    checks: Vec<Check>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn at_most(&mut self, what: &str, measured: u64, limit: u64) {
        self.add(what, measured.to_string(), format!("<= {limit}"), measured <= limit);
    }

    pub(crate) fn at_least(&mut self, what: &str, measured: u64, limit: u64) {
        self.add(what, measured.to_string(), format!(">= {limit}"), measured >= limit);
    }

    pub(crate) fn exactly(&mut self, what: &str, measured: u64, limit: u64) {
        self.add(what, measured.to_string(), format!("= {limit}"), measured == limit);
    }

    pub(crate) fn within(&mut self, what: &str, measured: Duration, limit: Duration) {
        let show = |time: Duration| format!("{:.2} s", time.as_secs_f64());
        self.add(what, show(measured), format!("<= {}", show(limit)), measured <= limit);
    }

    pub(crate) fn share_at_least(&mut self, what: &str, measured: f64, limit: f64) {
        let show = |share: f64| format!("{:.0} %", share * 100.0);
        self.add(what, show(measured), format!(">= {}", show(limit)), measured >= limit);
    }

    /// A number that nothing is promised about.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// What came of the attempt to run the scenario at all: a fault that cannot be produced has failed.
    pub(crate) fn broke(&mut self, error: &anyhow::Error) {
        self.add("ran to its end", format!("no: {error:#}"), "yes".to_owned(), false);
    }

    pub(crate) fn holds(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.holds)
    }

    /// The numbers that broke their limit.
    pub(crate) fn failed(&self) -> Vec<&str> {
        self.checks.iter().filter(|check| !check.holds).map(|check| check.what.as_str()).collect()
    }

    /// On one line: every number, those that fail in capitals first.
    pub(crate) fn line(&self) -> String {
        let mut line = String::new();
        for check in self.checks.iter().filter(|check| !check.holds) {
            let _ = write!(line, "FAILED {} {} (must be {}); ", check.what, check.measured, check.limit);
        }
        for check in self.checks.iter().filter(|check| check.holds) {
            let _ = write!(line, "{} {} ({}); ", check.what, check.measured, check.limit);
        }
        line.push_str(&self.notes.join("; "));
        line.trim_end_matches("; ").to_owned()
    }

    fn add(&mut self, what: &str, measured: String, limit: String, holds: bool) {
        self.checks.push(Check { what: what.to_owned(), measured, limit, holds });
    }
}
