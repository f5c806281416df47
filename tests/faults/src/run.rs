//! Runs scenarios one after another and tells what came of it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::programs::Programs;
use crate::report::Report;
use crate::scenarios::{ALL, Scenario};
use crate::trial::{Effort, Schedule, Trial};

/// No scenario takes longer; one that does hangs, and has failed.
const PATIENCE: Duration = Duration::from_secs(20 * 60);

/// A scenario and what it found.
struct Result {
    scenario: &'static Scenario,
    report: Report,
    took: Duration,
}

/// Left out of the quick set: what is known not to hold yet, told in the README, so that CI can hold the rest.
const NOT_YET: &[&str] = &["overload_of_api"];

/// Left out of the quick set: what has programs of its own to build.
const ONLY_FULL: &[&str] = &["poisoned_delivery"];

/// Every scenario; whether all held.
pub(crate) async fn all(schedule: Schedule) -> anyhow::Result<bool> {
    let is_left_out = |name: &str| NOT_YET.contains(&name) || ONLY_FULL.contains(&name);
    let is_meant = |scenario: &&Scenario| schedule.effort == Effort::Full || !is_left_out(scenario.name);
    several(ALL.iter().filter(is_meant).collect(), schedule).await
}

/// Those of these names, in that order; whether all held.
pub(crate) async fn named(names: &[String], schedule: Schedule) -> anyhow::Result<bool> {
    let scenarios: anyhow::Result<Vec<_>> = names.iter().map(|name| find(name)).collect();
    several(scenarios?, schedule).await
}

/// The scenario of that name.
pub(crate) fn find(name: &str) -> anyhow::Result<&'static Scenario> {
    let known = ALL.iter().find(|scenario| scenario.name == name);
    known.with_context(|| format!("there is no scenario {name}; see `list`"))
}

pub(crate) fn list() {
    for scenario in ALL {
        say(&format!("{:<22} {:<9} {}", scenario.name, scenario.promises, scenario.about));
    }
}

/// Runs them with programs that were built elsewhere, such as a mutant's.
pub(crate) async fn scenario_with(
    programs: &Programs,
    scenario: &'static Scenario,
    schedule: Schedule,
) -> anyhow::Result<Report> {
    let folder = folder(scenario.name)?;
    let mut trial = Trial::new(programs.clone(), schedule, folder.clone());
    let ended = tokio::time::timeout(PATIENCE, (scenario.run)(&mut trial)).await;
    if let Err(error) = ended.unwrap_or_else(|_| Err(anyhow::anyhow!("it hangs"))) {
        trial.report.broke(&error);
    }
    if trial.report.holds() {
        remove(&folder);
    } else {
        trial.report.note(format!("logs and data: {}", folder.display()));
    }
    Ok(trial.report)
}

/// From another release to this one, and back.
pub(crate) async fn upgrade(from: &str, schedule: Schedule) -> anyhow::Result<bool> {
    say(&format!("building the programs under test, beside those of {from}"));
    let programs = Programs::build().await?.beside(from).await?;
    with_programs(&programs, vec![find("rolling_release")?], schedule).await
}

async fn several(scenarios: Vec<&'static Scenario>, schedule: Schedule) -> anyhow::Result<bool> {
    say("building the programs under test");
    with_programs(&Programs::build().await?, scenarios, schedule).await
}

async fn with_programs(
    programs: &Programs,
    scenarios: Vec<&'static Scenario>,
    schedule: Schedule,
) -> anyhow::Result<bool> {
    let seed = schedule.seed;
    say(&format!("seed {seed}: repeat with --seed {seed}"));
    let mut results = Vec::new();
    for (index, scenario) in scenarios.iter().enumerate() {
        say(&format!("{}/{} {}: {} ...", index + 1, scenarios.len(), scenario.name, scenario.about));
        let started = Instant::now();
        let report = scenario_with(programs, scenario, schedule).await?;
        let result = Result { scenario, report, took: started.elapsed() };
        say(&format!("    {} {:.0} s: {}", result.word(), result.took.as_secs_f64(), result.report.line()));
        results.push(result);
    }
    table(&results, seed);
    Ok(results.iter().all(|result| result.report.holds()))
}

impl Result {
    fn word(&self) -> &'static str {
        match (self.report.holds(), self.report.is_slow()) {
            (true, false) => "held",
            (true, true) => "held, slow",
            (false, _) => "BROKEN",
        }
    }
}

fn table(results: &[Result], seed: u64) {
    say(&format!("\n{:<22} {:<9} {:>6}  seed {seed}", "scenario", "promises", "took"));
    for result in results {
        let (name, promises) = (result.scenario.name, result.scenario.promises);
        say(&format!("{name:<22} {promises:<9} {:>4.0} s  {}", result.took.as_secs_f64(), result.word()));
    }
    let held = results.iter().filter(|result| result.report.holds()).count();
    say(&format!("{held} of {} held", results.len()));
}

/// Where others may pass through, since PostgreSQL runs as another user where we are root.
fn folder(name: &str) -> anyhow::Result<PathBuf> {
    let number = u32::from_ne_bytes(trunkline_boot::random::random_bytes());
    let folder = std::env::temp_dir().join(format!("trunkline-faults-{name}-{number:08x}"));
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    Ok(folder)
}

/// A folder that cannot be removed is only untidy.
fn remove(folder: &Path) {
    let _ = std::fs::remove_dir_all(folder);
}

#[expect(clippy::print_stdout, reason = "telling what holds is what the program is run for")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}
