//! Proof that the scenarios can fail: the product is broken in one place, built, and a scenario must turn red.

mod list;
mod source;

use std::time::Instant;

use anyhow::{Context, ensure};

use crate::programs::Programs;
use crate::run::{find, say, scenario_with};
use crate::trial::{Effort, Schedule};
use list::{ALL, Mutant, POISONED};
use source::Copy;

/// Every mutant; whether all were caught.
pub(crate) async fn all(seed: u64) -> anyhow::Result<bool> {
    let copy = Copy::make().await?;
    let mut escaped = Vec::new();
    for (index, mutant) in ALL.iter().enumerate() {
        say(&format!("{}/{} {}: {} must catch it ...", index + 1, ALL.len(), mutant.name, mutant.caught_by));
        let started = Instant::now();
        let (caught, line) = run(&copy, mutant, seed).await.with_context(|| mutant.name.to_owned())?;
        let word = if caught { "caught" } else { "ESCAPED" };
        say(&format!("    {word} {:.0} s: {line}", started.elapsed().as_secs_f64()));
        if !caught {
            escaped.push(mutant.name);
        }
    }
    say(&format!("{} of {} mutants caught", ALL.len() - escaped.len(), ALL.len()));
    Ok(escaped.is_empty())
}

/// The programs with an attempt that panics where a payload holds the word `poisoned`.
pub(crate) async fn poisoned() -> anyhow::Result<Programs> {
    let copy = Copy::make().await?;
    let _mutated = copy.mutate(&POISONED)?;
    Programs::build_copy(&copy.workspace(), &copy.target()).await
}

/// Caught means that a number broke its limit; a scenario that could not be run has caught nothing.
async fn run(copy: &Copy, mutant: &Mutant, seed: u64) -> anyhow::Result<(bool, String)> {
    let _mutated = copy.mutate(mutant)?;
    let programs = Programs::build_copy(&copy.workspace(), &copy.target()).await?;
    let schedule = Schedule { effort: Effort::Quick, seed, patience: 1.0 };
    let report = scenario_with(&programs, find(mutant.caught_by)?, schedule).await?;
    let expected = report.failed().into_iter().any(|what| mutant.turns_red.contains(&what));
    ensure!(report.holds() || expected, "it broke in another way than expected: {}", report.line());
    Ok((expected, report.line()))
}
