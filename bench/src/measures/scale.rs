//! Whether a figure stays what it is when there is more of everything: history, partitions, replicas, endpoints, and one
//! tenant's backlog beside the others.

mod claims;
mod endpoints;
mod history;
mod pages;
mod past;
mod replicas;
mod whale;

use crate::report::Figures;
use crate::run::Run;

pub(crate) fn measure(run: &Run) -> anyhow::Result<Figures> {
    let mut figures = Figures::new("scale");
    history::measure(run, &mut figures)?;
    replicas::measure(run, &mut figures)?;
    endpoints::measure(run, &mut figures)?;
    whale::measure(run, &mut figures)?;
    Ok(figures)
}

/// How much the largest of some figures is above the smallest; flat is 1.
fn spread(values: &[f64]) -> f64 {
    let largest = values.iter().copied().fold(f64::MIN, f64::max);
    largest / values.iter().copied().fold(f64::MAX, f64::min)
}
