#![doc = include_str!("../README.md")]

mod control_group;
mod hostile;
mod house;
mod http_client;
mod ledger;
mod mutants;
mod programs;
mod proxy;
mod publisher;
mod report;
mod rotation;
mod run;
mod scenarios;
mod sink;
mod small_disk;
mod trial;
mod verdict;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::trial::{Effort, Schedule};

/// Breaks a running Trunkline in every way it promises to survive.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Every scenario in its short form: about ten minutes
    Quick {
        /// Decides whom faults hit and when; chosen at random, and told, where there is none
        #[arg(long)]
        seed: Option<u64>,
        /// By how many times a figure of time may miss its limit on a machine that others use too; counts are exact always
        #[arg(long, default_value_t = 1.0)]
        patience: f64,
    },
    /// Every scenario as promised
    Full {
        /// As for quick
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Some scenarios, as promised or in their short form
    Run {
        /// As `list` shows them
        #[arg(required = true)]
        names: Vec<String>,
        /// As for quick
        #[arg(long)]
        seed: Option<u64>,
        /// The short form
        #[arg(long)]
        quick: bool,
    },
    /// From an older release to this one, side by side under load, and back
    Upgrade {
        /// A commit or tag of this repository, or a folder with the programs of another release
        #[arg(long)]
        from: String,
        /// As for quick
        #[arg(long)]
        seed: Option<u64>,
    },
    /// The scenarios and the promises they count
    List,
    /// Breaks the product in five ways and shows that a scenario notices each
    Mutants {
        /// As for quick
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let work = async {
        match arguments.action {
            Action::Quick { seed, patience } => run::all(schedule(Effort::Quick, seed, patience)).await,
            Action::Full { seed } => run::all(schedule(Effort::Full, seed, 1.0)).await,
            Action::Run { names, seed, quick } => {
                let effort = if quick { Effort::Quick } else { Effort::Full };
                run::named(&names, schedule(effort, seed, 1.0)).await
            }
            Action::Upgrade { from, seed } => run::upgrade(&from, schedule(Effort::Full, seed, 1.0)).await,
            Action::Mutants { seed } => mutants::all(seed).await,
            Action::List => {
                run::list();
                Ok(true)
            }
        }
    };
    let result = tokio::select! {
        result = work => result,
        // What was started is dropped, and so killed, on the way out.
        () = interrupted() => Err(anyhow::anyhow!("interrupted")),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

fn schedule(effort: Effort, seed: Option<u64>, patience: f64) -> Schedule {
    let any = || u64::from(u16::from_ne_bytes(trunkline_boot::random::random_bytes()));
    Schedule { effort, seed: seed.unwrap_or_else(any), patience }
}

async fn interrupted() {
    // Without a handler the signal ends the program at once, which nothing here could do better.
    let Ok(mut terminated) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}

#[expect(clippy::print_stderr, reason = "the last words of a program")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("trunkline-faults: {error:#}");
    ExitCode::FAILURE
}
