//! Every measure, one after the other, and at the end one table: what issue 3 wanted, what was found, whether it holds.

use anyhow::bail;
use serde_json::{Value, json};

use crate::goals::{self, Verdict};
use crate::machine::Machine;
use crate::measures::{batch, drain, fanout, footprint, idle, ingest, limits, payload, scale, sustained};
use crate::plots;
use crate::report::{Figures, progress, show, write_json};
use crate::run::Run;

type Measure = fn(&Run) -> anyhow::Result<Figures>;

/// In this order: the limits first, since the others are told as shares of them.
const MEASURES: [(&str, Measure); 10] = [
    ("limits", |run| limits::measure(run).map(|(_, figures)| figures)),
    ("ingest", ingest::measure),
    ("drain", drain::measure),
    ("sustained", sustained::measure),
    ("idle", idle::measure),
    ("fanout", fanout::measure),
    ("batch", batch::measure),
    ("payload", payload::measure),
    ("footprint", footprint::measure),
    ("scale", scale::measure),
];

/// A measure that fails is told, and the others are taken all the same.
pub(crate) fn measure(run: &Run) -> anyhow::Result<()> {
    let machine = Machine::describe();
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    for (name, take) in MEASURES {
        progress(&format!("== {name}"));
        match take(run) {
            Ok(figures) => {
                show(&figures.table());
                figures.write(&machine, &run.results)?;
                found.push(figures);
            }
            Err(error) => {
                progress(&format!("{name} failed: {error:#}"));
                failed.push(name);
            }
        }
    }
    plots::write(&found, &run.results)?;
    let verdicts = goals::judge(&found);
    show(&goals::table(&verdicts));
    write_json(&run.results.join("all.json"), &summary(run, &machine, &found, &verdicts))?;
    if !failed.is_empty() {
        bail!("these measures failed: {}", failed.join(", "));
    }
    Ok(())
}

fn summary(run: &Run, machine: &Machine, found: &[Figures], verdicts: &[Verdict]) -> Value {
    let measures: serde_json::Map<String, Value> = found
        .iter()
        .map(|figures| {
            (figures.measure.to_owned(), json!({ "figures": figures.rows, "notes": figures.notes }))
        })
        .collect();
    json!({ "machine": machine, "quick": run.is_quick, "goals": verdicts, "measures": measures })
}
