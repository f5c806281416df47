//! What a process costs before it does anything, and while it does all it can.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::house::door::Door;
use crate::house::{House, TENANTS};
use crate::load::{Pace, Until};
use crate::measures::round::Round;
use crate::proc_stat::memory_mib;
use crate::report::{Figures, progress};
use crate::run::Run;
use crate::sink::{SAMPLE, Sink};

/// Starts of each program; the middle one counts.
const STARTS: usize = 5;

/// A process that has just started is not idle yet.
const SETTLE: Duration = Duration::from_secs(3);

pub(crate) fn measure(run: &Run) -> anyhow::Result<Figures> {
    let sink = Sink::start(run, SAMPLE)?;
    let mut house = House::start(run, &sink, TENANTS)?;
    let mut figures = Figures::new("footprint");
    progress(&format!("footprint: each program is started {STARTS} times"));
    for (name, program) in [("api", run.programs.api()), ("worker", run.programs.worker())] {
        figures.add(format!("{name}_start"), median_start_ms(run, &house, &program)?, "ms");
        figures.add(format!("{name}_binary"), mebibytes(&program)?, "MiB");
    }
    figures.add("trunkline_binary", mebibytes(&run.programs.trunkline())?, "MiB");

    house.start_worker()?;
    std::thread::sleep(SETTLE);
    let resident = |doors: &[Door]| doors.iter().map(|door| memory_mib(door.process.id()).0).sum::<f64>();
    let highest = |doors: &[Door]| doors.iter().map(|door| memory_mib(door.process.id()).1).sum::<f64>();
    figures.add("api_idle", resident(&house.apis), "MiB");
    figures.add("worker_idle", resident(&house.workers), "MiB");
    progress("footprint: under full load");
    let order = house.order(Pace::AsFastAsAnswered, Until::Seconds(run.seconds(15.0)));
    Round::take(&house, &sink, &order, 1)?;
    let (api, worker) = (highest(&house.apis), highest(&house.workers));
    figures.add("api_under_load", api, "MiB");
    figures.add("worker_under_load", worker, "MiB");
    figures.add("together_under_load", api + worker, "MiB");
    house.stop()?;
    Ok(figures)
}

/// From the start of the process to its first 200.
fn median_start_ms(run: &Run, house: &House<'_>, program: &Path) -> anyhow::Result<f64> {
    let mut starts = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        let door = Door::start(run, program, house.server.url())?;
        starts.push(door.ready_after);
        door.process.stop()?;
    }
    starts.sort();
    Ok(starts[STARTS / 2].as_secs_f64() * 1e3)
}

fn mebibytes(file: &Path) -> anyhow::Result<f64> {
    Ok(fs::metadata(file)?.len() as f64 / 1_048_576.0)
}
