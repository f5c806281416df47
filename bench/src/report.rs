//! Figures as a table for people and as JSON for later.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;

/// What one measure found.
pub(crate) struct Figures {
    measure: &'static str,
    rows: Vec<(&'static str, f64, &'static str)>,
}

impl Figures {
    pub(crate) fn new(measure: &'static str) -> Self {
        Self { measure, rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, name: &'static str, value: f64, unit: &'static str) {
        self.rows.push((name, value, unit));
    }
}

/// The nearest-rank percentile of sorted times, in milliseconds.
pub(crate) fn percentile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(rank).map_or(f64::NAN, |wait| wait.as_secs_f64() * 1_000.0)
}

#[expect(clippy::print_stderr, reason = "progress is for the person who waits, not for the results")]
pub(crate) fn progress(done: u32, total: u32) {
    eprintln!("{done} of {total}");
}

#[expect(clippy::print_stdout, reason = "the table is what the program is run for")]
pub(crate) fn show(figures: &Figures) {
    println!("{}", figures.measure);
    for (name, value, unit) in &figures.rows {
        println!("  {name:<22} {value:>10.2} {unit}");
    }
}

/// Writes `<measure>.json` into the folder.
pub(crate) fn write(figures: &Figures, folder: &Path) -> anyhow::Result<()> {
    let rows: serde_json::Map<_, _> = figures
        .rows
        .iter()
        .map(|(name, value, unit)| ((*name).to_owned(), json!({ "value": value, "unit": unit })))
        .collect();
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let file = folder.join(format!("{}.json", figures.measure));
    let text = serde_json::to_string_pretty(&json!({ "measure": figures.measure, "figures": rows }))?;
    std::fs::write(&file, text + "\n").with_context(|| format!("writing {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let sorted: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile_ms(&sorted, 50), 100.0);
        assert_eq!(percentile_ms(&sorted, 99), 198.0);
        assert_eq!(percentile_ms(&sorted, 100), 200.0);
        assert_eq!(percentile_ms(&sorted[..1], 50), 1.0);
    }
}
