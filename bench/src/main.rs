#![doc = include_str!("../README.md")]

mod arguments;
mod bare;
mod clock;
mod guard;
mod house;
mod join;
mod ledger;
mod load;
mod machine;
mod measures;
mod percentiles;
mod proc_stat;
mod process;
mod programs;
mod report;
mod run;
mod sink;

use clap::Parser;

use arguments::{Arguments, Task};
use machine::Machine;
use measures::{drain, idle, ingest, limits, sustained};
use report::{Figures, show};
use run::Run;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match &arguments.task {
        Task::Sink => sink::run(),
        Task::Load => load::run(),
        Task::Bare => bare::run(),
        Task::Guard { folder } => guard::keep(folder),
        measure => {
            let run = Run::start(&arguments.results, arguments.quick, !arguments.no_build)?;
            let figures = take(measure, &run)?;
            show(&figures.table());
            figures.write(&Machine::describe(), &run.results)
        }
    }
}

fn take(task: &Task, run: &Run) -> anyhow::Result<Figures> {
    match task {
        Task::Limits => limits::measure(run).map(|(_, figures)| figures),
        Task::Ingest => ingest::measure(run),
        Task::Drain => drain::measure(run),
        Task::Sustained => sustained::measure(run),
        Task::Idle => idle::measure(run),
        Task::Sink | Task::Load | Task::Bare | Task::Guard { .. } => unreachable!("parts were run above"),
    }
}
