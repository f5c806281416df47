//! What people and scripts see: results on standard output, everything else on standard error.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;
use serde_json::Value;

use crate::failure::message;
use crate::json_text::indented;

/// Where results go, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    /// `json`: results are JSON, one document a line.
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether results are JSON.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// A result: `value` as one line of JSON, or what `text` says of it to a person.
    ///
    /// # Errors
    /// Standard output is closed.
    pub(crate) fn result(self, value: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        let text = if self.json { serde_json::to_string(value)? } else { text() };
        self.line(&text)
    }

    /// An answer of the api as a result: indented for a person.
    ///
    /// # Errors
    /// Standard output is closed.
    pub(crate) fn answer(self, answer: &Value) -> anyhow::Result<()> {
        self.result(answer, || printable(&indented(&answer.to_string())))
    }

    /// A line of a result, as it is.
    ///
    /// # Errors
    /// Standard output is closed.
    pub(crate) fn line(self, text: &str) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", text.trim_end_matches('\n'))?;
        Ok(out.flush()?)
    }

    /// What is going on, for a person who waits. Not part of the result, in neither form.
    pub(crate) fn progress(self, text: &str) {
        // Nobody listens: nothing is lost.
        let _closed = writeln!(io::stderr().lock(), "{text}");
    }

    /// Progress that overwrites itself; only where a terminal shows it.
    pub(crate) fn ticker(self, text: &str) {
        let mut err = io::stderr().lock();
        if err.is_terminal() {
            let _closed = write!(err, "\r\x1b[K{text}").and_then(|()| err.flush());
        }
    }

    /// The last words of a command that did not work: one message, in the form that was asked for.
    pub(crate) fn failure(self, error: &anyhow::Error, code: u8) {
        if self.json {
            let value = serde_json::json!({"error": message(error), "exit_code": code});
            self.progress(&value.to_string());
        } else {
            self.progress(&format!("trunkline: {}", message(error)));
        }
    }
}

/// Lines up rows under their head, two spaces apart; the last column is not padded.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(|title| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let head = head.map(str::to_owned);
    let lines: Vec<String> = std::iter::once(&head)
        .chain(rows)
        .map(|row| {
            let cells: Vec<String> =
                row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect();
    lines.join("\n")
}

/// A field of an answer for a person: text without quotes, nothing as a dash.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text),
        other => other.to_string(),
    }
}

/// Text from elsewhere, safe for a terminal: control characters are shown as escapes.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let escape = character.is_control() && character != '\n' && character != '\t';
            let (plain, escaped) =
                if escape { (None, Some(character.escape_default())) } else { (Some(character), None) };
            plain.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["a".to_owned(), "1".to_owned()], ["longer".to_owned(), "2".to_owned()]];
        assert_eq!(table(["ID", "N"], &rows), "ID      N\na       1\nlonger  2");
    }

    #[test]
    fn what_came_from_elsewhere_cannot_drive_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\nc");
    }
}
