//! How soon an event arrives while nothing else happens.

use crate::house::{House, TENANTS};
use crate::load::{Pace, Until};
use crate::measures::round::Round;
use crate::report::{Figures, progress};
use crate::run::Run;
use crate::sink::Sink;

/// Events a second, and for how many seconds.
const RATES: [(f64, f64); 2] = [(20.0, 30.0), (200.0, 10.0)];

pub(crate) fn measure(run: &Run) -> anyhow::Result<Figures> {
    let sink = Sink::start(run, 1)?;
    let mut house = House::start(run, &sink, TENANTS)?;
    house.start_worker()?;
    let mut figures = Figures::new("idle");
    for (rate, seconds) in RATES {
        progress(&format!("idle: {rate} events a second for {} s", run.seconds(seconds)));
        let mut order = house.order(Pace::PerSecond(rate), Until::Seconds(run.seconds(seconds)));
        order.warm_up_seconds = 1.0;
        let round = Round::take(&house, &sink, &order, 1)?;
        let (from_ns, until_ns) = (round.tally.from_ns, round.tally.until_ns);
        figures.add(format!("events_at_{rate}"), round.deliveries(), "");
        figures.add_waits(&format!("answer_at_{rate}"), &round.tally.answer);
        figures.add_waits(&format!("201_to_arrival_at_{rate}"), &round.journey.waits(from_ns, until_ns));
        figures.add(format!("duplicates_at_{rate}"), round.journey.duplicates as f64, "");
        figures.add(format!("signatures_verified_by_{rate}"), round.seen.verified as f64, "");
    }
    house.stop()?;
    Ok(figures)
}
