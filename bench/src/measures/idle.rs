//! How soon an event arrives while nothing else happens.

use std::time::Duration;

use anyhow::ensure;

use crate::house::{House, TENANTS};
use crate::join::Journey;
use crate::ledger;
use crate::load::{self, Pace, Until};
use crate::report::{Figures, progress};
use crate::run::Run;
use crate::sink::Sink;

/// Events a second, and for how many seconds.
const RATES: [(f64, f64); 2] = [(20.0, 30.0), (200.0, 10.0)];

/// After the last event, how long arrivals may still take.
const SILENCE: Duration = Duration::from_secs(10);

pub(crate) fn measure(run: &Run) -> anyhow::Result<Figures> {
    let sink = Sink::start(run, 1)?;
    let mut house = House::start(run, &sink, TENANTS)?;
    house.start_worker()?;
    let mut figures = Figures::new("idle");
    for (rate, seconds) in RATES {
        progress(&format!("idle: {rate} events a second for {} s", run.seconds(seconds)));
        let mut order = house.order(Pace::PerSecond(rate), Until::Seconds(run.seconds(seconds)));
        order.warm_up_seconds = 1.0;
        order.ledger = Some(run.folder.join("answered"));
        let tally = load::send(&order)?;
        let acknowledged = ledger::take(&run.folder.join("answered"))?;
        sink.wait_for(acknowledged.len() as u64, SILENCE)?;
        let verified = sink.seen()?.verified;
        let events = acknowledged.len();
        let journey = Journey::new(acknowledged, sink.take()?);
        ensure!(journey.lost == 0, "{} events never arrived", journey.lost);
        figures.add(format!("events_at_{rate}"), events as f64, "");
        figures.add_waits(&format!("answer_at_{rate}"), &tally.answer);
        figures
            .add_waits(&format!("201_to_arrival_at_{rate}"), &journey.waits(tally.from_ns, tally.until_ns));
        figures.add(format!("duplicates_at_{rate}"), journey.duplicates as f64, "");
        figures.add(format!("signatures_verified_by_{rate}"), verified as f64, "");
    }
    house.stop()?;
    Ok(figures)
}
