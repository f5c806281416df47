//! Figures as a table for people and as JSON for later.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::machine::Machine;
use crate::percentiles::Percentiles;

/// What one measure found.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) measure: &'static str,
    pub(crate) rows: Vec<Row>,
    /// What must be known beside the figures.
    pub(crate) notes: Vec<String>,
}

/// One figure.
#[derive(Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
}

impl Figures {
    pub(crate) fn new(measure: &'static str) -> Self {
        Self { measure, ..Self::default() }
    }

    pub(crate) fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.rows.push(Row { name: name.into(), value, unit });
    }

    /// Three figures: `<name>_p50`, `_p99`, `_max`.
    pub(crate) fn add_waits(&mut self, name: &str, waits: &Percentiles) {
        self.add(format!("{name}_p50"), waits.p50_ms, "ms");
        self.add(format!("{name}_p99"), waits.p99_ms, "ms");
        self.add(format!("{name}_max"), waits.max_ms, "ms");
    }

    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// The figure of that name, if it was found.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.name == name).map(|row| row.value)
    }

    /// As people read it.
    pub(crate) fn table(&self) -> String {
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
        let mut text = format!("{}\n", self.measure);
        for Row { name, value, unit } in &self.rows {
            text += &format!("  {name:<width$} {:>14} {unit}\n", number(*value));
        }
        for note in &self.notes {
            text += &format!("  ({note})\n");
        }
        text
    }

    /// Writes `<measure>.json` into the folder.
    pub(crate) fn write(&self, machine: &Machine, folder: &Path) -> anyhow::Result<()> {
        let rows: Map<String, Value> = self
            .rows
            .iter()
            .map(|row| (row.name.clone(), json!({ "value": row.value, "unit": row.unit })))
            .collect();
        let value = json!({
            "measure": self.measure, "machine": machine, "figures": rows, "notes": self.notes,
        });
        write_json(&folder.join(format!("{}.json", self.measure)), &value)
    }
}

/// Writes a file that people can read too.
pub(crate) fn write_json(file: &Path, value: &Value) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let text = serde_json::to_string_pretty(value)? + "\n";
    fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

/// As many decimals as say something.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 1.0 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[expect(clippy::print_stderr, reason = "progress is for the person who waits, not for the results")]
pub(crate) fn progress(text: &str) {
    eprintln!("   {text}");
}

#[expect(clippy::print_stdout, reason = "tables are what the program is run for")]
pub(crate) fn show(text: &str) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_figure_and_note() {
        let mut figures = Figures::new("idle");
        figures.add("events", 600.0, "");
        figures.add("wait", 0.012_34, "ms");
        figures.note("a note");
        let lines: Vec<_> = figures.table().lines().map(str::to_owned).collect();
        assert_eq!(lines, ["idle", "  events            600 ", "  wait           0.0123 ms", "  (a note)"]);
        assert_eq!(figures.value("wait"), Some(0.012_34));
        assert_eq!(figures.value("other"), None);
    }
}
