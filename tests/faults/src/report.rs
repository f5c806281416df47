//! What a scenario found, as numbers beside the number each must keep to.

use std::fmt::Write;
use std::time::Duration;

/// How a number stands to its limit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Holds,
    /// A figure of time beyond its limit, by no more than the run has patience for.
    Slow,
    Broken,
}

/// A share may miss its limit by so much where a run has patience, whatever its patience: at a third of it nothing would be
/// promised any more.
const SHARE_BEARABLE: f64 = 0.7;

/// One number of a scenario.
struct Check {
    what: String,
    measured: String,
    limit: String,
    standing: Standing,
}

/// Everything a scenario found.
pub(crate) struct Report {
    /// By how many times a figure of time may miss its limit before it counts as broken. Counts are exact always; how long
    /// something takes is up to the machine too, and on one that others use as well only a multiple tells a fault of ours.
    patience: f64,
    checks: Vec<Check>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(patience: f64) -> Self {
        Self { patience, checks: Vec::new(), notes: Vec::new() }
    }

    pub(crate) fn at_most(&mut self, what: &str, measured: u64, limit: u64) {
        self.add(what, measured.to_string(), format!("<= {limit}"), exact(measured <= limit));
    }

    pub(crate) fn at_least(&mut self, what: &str, measured: u64, limit: u64) {
        self.add(what, measured.to_string(), format!(">= {limit}"), exact(measured >= limit));
    }

    pub(crate) fn exactly(&mut self, what: &str, measured: u64, limit: u64) {
        self.add(what, measured.to_string(), format!("= {limit}"), exact(measured == limit));
    }

    pub(crate) fn within(&mut self, what: &str, measured: Duration, limit: Duration) {
        let show = |time: Duration| format!("{:.2} s", time.as_secs_f64());
        let standing = timed(measured <= limit, measured <= limit.mul_f64(self.patience));
        self.add(what, show(measured), format!("<= {}", show(limit)), standing);
    }

    pub(crate) fn share_at_least(&mut self, what: &str, measured: f64, limit: f64) {
        let show = |share: f64| format!("{:.0} %", share * 100.0);
        let bearable = limit * (1.0 / self.patience).max(SHARE_BEARABLE);
        let standing = timed(measured >= limit, measured >= bearable);
        self.add(what, show(measured), format!(">= {}", show(limit)), standing);
    }

    /// A number that nothing is promised about.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// What came of the attempt to run the scenario at all: a fault that cannot be produced has failed.
    pub(crate) fn broke(&mut self, error: &anyhow::Error) {
        self.add("ran to its end", format!("no: {error:#}"), "yes".to_owned(), Standing::Broken);
    }

    pub(crate) fn holds(&self) -> bool {
        !self.checks.is_empty() && self.of(Standing::Broken).next().is_none()
    }

    /// Whether a figure of time missed its limit, within the run's patience.
    pub(crate) fn is_slow(&self) -> bool {
        self.of(Standing::Slow).next().is_some()
    }

    /// The numbers that broke their limit.
    pub(crate) fn failed(&self) -> Vec<&str> {
        self.of(Standing::Broken).map(|check| check.what.as_str()).collect()
    }

    /// On one line: every number, those that fail first.
    pub(crate) fn line(&self) -> String {
        let mut line = String::new();
        for check in self.of(Standing::Broken) {
            let _ = write!(line, "FAILED {} {} (must be {}); ", check.what, check.measured, check.limit);
        }
        for check in self.of(Standing::Slow) {
            let _ = write!(line, "SLOW {} {} (meant {}); ", check.what, check.measured, check.limit);
        }
        for check in self.of(Standing::Holds) {
            let _ = write!(line, "{} {} ({}); ", check.what, check.measured, check.limit);
        }
        line.push_str(&self.notes.join("; "));
        line.trim_end_matches("; ").to_owned()
    }

    fn of(&self, standing: Standing) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(move |check| check.standing == standing)
    }

    fn add(&mut self, what: &str, measured: String, limit: String, standing: Standing) {
        self.checks.push(Check { what: what.to_owned(), measured, limit, standing });
    }
}

fn exact(holds: bool) -> Standing {
    if holds { Standing::Holds } else { Standing::Broken }
}

fn timed(holds: bool, is_bearable: bool) -> Standing {
    if is_bearable && !holds { Standing::Slow } else { exact(holds) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(patience: f64) -> Report {
        let mut report = Report::new(patience);
        report.exactly("lost", 0, 0);
        report
    }

    #[test]
    fn a_figure_of_time_may_miss_its_limit_by_the_patience_of_the_run_and_no_more() {
        for (patience, millis, holds, is_slow) in [
            (1.0, 500, true, false),
            (1.0, 501, false, false),
            (3.0, 1_500, true, true),
            (3.0, 1_501, false, false),
        ] {
            let mut report = report(patience);
            report.within("p99", Duration::from_millis(millis), Duration::from_millis(500));
            assert_eq!((report.holds(), report.is_slow()), (holds, is_slow), "{patience} {millis}");
        }
        for (patience, share, holds, is_slow) in [
            (1.0, 0.8, true, false),
            (1.0, 0.79, false, false),
            (1.25, 0.65, true, true),
            (1.25, 0.63, false, false),
            (3.0, 0.57, true, true),
            (3.0, 0.55, false, false),
        ] {
            let mut report = report(patience);
            report.share_at_least("goodput", share, 0.8);
            assert_eq!((report.holds(), report.is_slow()), (holds, is_slow), "{patience} {share}");
        }
    }

    #[test]
    fn a_count_must_hold_however_patient_the_run_is() {
        let mut report = report(10.0);
        report.exactly("lost", 1, 0);
        assert!(!report.holds());
    }
}
