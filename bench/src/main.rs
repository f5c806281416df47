#![doc = include_str!("../README.md")]

mod all;
mod arguments;
mod bare;
mod clock;
mod goals;
mod guard;
mod house;
mod join;
mod ledger;
mod load;
mod machine;
mod measures;
mod percentiles;
mod plots;
mod proc_stat;
mod process;
mod programs;
mod report;
mod run;
mod sink;

use clap::Parser;

use arguments::{Arguments, Task};
use machine::Machine;
use measures::{batch, drain, fanout, footprint, idle, ingest, limits, payload, scale, sustained};
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
            if matches!(measure, Task::All) {
                return all::measure(&run);
            }
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
        Task::Fanout => fanout::measure(run),
        Task::Batch => batch::measure(run),
        Task::Payload => payload::measure(run),
        Task::Footprint => footprint::measure(run),
        Task::Scale => scale::measure(run),
        Task::All | Task::Sink | Task::Load | Task::Bare | Task::Guard { .. } => {
            unreachable!("these are no single measures and were run above")
        }
    }
}
