//! `trunkline doctor`: what is wrong, and what to do about it.

mod check;
mod cluster_checks;
mod database_checks;
mod sealing_checks;
mod settings_checks;
mod vacuum_checks;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use crate::failure::message;
use crate::operator::{OperatorOptions, block_on};
use crate::output::Output;
use check::{Check, Verdict};

#[derive(Debug, Args)]
#[command(after_help = "Exits with 1 if a check failed; warnings do not count.")]
pub(crate) struct Options {
    #[command(flatten)]
    operator: OperatorOptions,
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let checks = match options.operator.settings(*output) {
        Ok(settings) => {
            let mut checks = settings_checks::all(&settings);
            checks.extend(block_on(async { Ok(database_checks::all(&settings).await) })?);
            checks
        }
        // Wrong settings are a finding like any other.
        Err(error) => {
            let advice = "correct what is named; docs/OPERATIONS.md lists every setting";
            vec![Check::fail("settings", message(&error), advice)]
        }
    };
    let failed = checks.iter().filter(|check| check.verdict == Verdict::Fail).count();
    output.result(&json!({"ok": failed == 0, "checks": checks}), || {
        checks.iter().map(Check::describe).collect::<Vec<_>>().join("\n")
    })?;
    match failed {
        0 => Ok(()),
        1 => bail!("a check failed"),
        count => bail!("{count} checks failed"),
    }
}
