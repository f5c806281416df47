//! Pictures of a run, as SVG written by hand: bars are all they need.

use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::report::{Figures, number};

const WIDTH: usize = 760;
const ROW: usize = 26;
const LEFT: usize = 300;
const RIGHT: usize = 110;
const TOP: usize = 44;

/// What is drawn: file, title, measure, beginning and end of the figures' names.
const PLOTS: [(&str, &str, &str, &str, &str); 7] = [
    ("limits", "The limits of the machine, 1/s", "limits", "", ""),
    (
        "wait_under_load",
        "201 to arrival at shares of the sustained rate, ms",
        "sustained",
        "201_to_arrival",
        "p99",
    ),
    ("cpu_per_event", "CPU per event at the sustained rate, ms", "sustained", "", "cpu_per_event_at_100"),
    ("payload", "Delivered by size of payload, MB/s", "payload", "delivered", "bytes"),
    ("claim", "Server time of a claim per delivery, µs", "scale", "claim_", ""),
    ("page", "A page of history, median, ms", "scale", "page_", ""),
    ("replicas", "End to end by replicas, 1/s", "scale", "end_to_end", ""),
];

/// Draws what was found into the folder.
pub(crate) fn write(found: &[Figures], folder: &Path) -> anyhow::Result<()> {
    for (name, title, measure, start, end) in PLOTS {
        let Some(figures) = found.iter().find(|figures| figures.measure == measure) else { continue };
        let is_wanted =
            |name: &str| name.starts_with(start) && name.ends_with(end) && !name.contains("spread");
        let unit = figures.rows.iter().find(|row| is_wanted(&row.name)).map(|row| row.unit);
        let bars: Vec<(&str, f64)> = figures
            .rows
            .iter()
            .filter(|row| is_wanted(&row.name) && Some(row.unit) == unit)
            .map(|row| (row.name.as_str(), row.value))
            .collect();
        if !bars.is_empty() {
            let file = folder.join(format!("{name}.svg"));
            fs::write(&file, draw(title, &bars)).with_context(|| format!("writing {}", file.display()))?;
        }
    }
    Ok(())
}

/// Horizontal bars with their names at the left and their values at the right.
fn draw(title: &str, bars: &[(&str, f64)]) -> String {
    let height = TOP + bars.len() * ROW + 12;
    let largest = bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"12\" y=\"26\" font-size=\"16\">{title}</text>\n"
    );
    for ((name, value), row) in bars.iter().zip(0..) {
        let top = TOP + row * ROW;
        let length = (value / largest * (WIDTH - LEFT - RIGHT) as f64).max(1.0);
        let (label, end) = (LEFT - 8, LEFT as f64 + length + 6.0);
        let (base, name, value) = (top + 16, name.replace('_', " "), number(*value));
        svg += &format!(
            "<text x=\"{label}\" y=\"{base}\" text-anchor=\"end\">{name}</text>\
             <rect x=\"{LEFT}\" y=\"{top}\" width=\"{length:.1}\" height=\"20\" fill=\"#3b6ea5\"/>\
             <text x=\"{end:.1}\" y=\"{base}\">{value}</text>\n"
        );
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_is_the_largest_value() {
        let svg = draw("title", &[("one_half", 5.0), ("whole", 10.0)]);
        assert!(svg.contains("width=\"175.0\"") && svg.contains("width=\"350.0\""), "{svg}");
        assert!(svg.contains("one half"));
    }
}
