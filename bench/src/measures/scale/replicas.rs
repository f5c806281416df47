//! One, two and four apis and workers. On a machine that one of each can fill, more must at least cost nothing.

use super::spread;
use crate::house::{House, TENANTS};
use crate::load::{Pace, Until};
use crate::measures::round::Round;
use crate::report::{Figures, progress};
use crate::run::Run;
use crate::sink::{SAMPLE, Sink};

const REPLICAS: [u32; 3] = [1, 2, 4];
const EVENTS: u64 = 50_000;

pub(super) fn measure(run: &Run, figures: &mut Figures) -> anyhow::Result<()> {
    let mut rates = Vec::new();
    for replicas in REPLICAS {
        progress(&format!("scale: {replicas} apis and {replicas} workers"));
        let sink = Sink::start(run, SAMPLE)?;
        let mut house = House::start(run, &sink, TENANTS)?;
        for _ in 1..replicas {
            house.start_api()?;
        }
        for _ in 0..replicas {
            house.start_worker()?;
        }
        let order = house.order(Pace::AsFastAsAnswered, Until::Requests(run.count(EVENTS)));
        let round = Round::take(&house, &sink, &order, 1)?;
        let rate = round.journey.per_second_since(round.tally.from_ns);
        figures.add(format!("end_to_end_{replicas}_replicas"), rate, "1/s");
        let cpu = round.per_delivery_ms(round.used.cpu_seconds());
        figures.add(format!("cpu_{replicas}_replicas"), cpu, "ms");
        figures.add(format!("duplicates_{replicas}_replicas"), round.journey.duplicates as f64, "");
        rates.push(rate);
        house.stop()?;
    }
    figures.add("replicas_spread", spread(&rates), "x");
    Ok(())
}
