//! One event to ten endpoints: how fast a backlog of such deliveries is worked off.

use crate::house::{House, TENANTS};
use crate::load::{Pace, Until};
use crate::measures::round::Round;
use crate::report::{Figures, progress};
use crate::run::Run;
use crate::sink::{SAMPLE, Sink};

const EVENTS: u64 = 10_000;
const ENDPOINTS: u32 = 10;

pub(crate) fn measure(run: &Run) -> anyhow::Result<Figures> {
    let sink = Sink::start(run, SAMPLE)?;
    let mut house = House::start(run, &sink, TENANTS)?;
    house.add_endpoints(&sink, ENDPOINTS - 1)?;
    let events = run.count(EVENTS);
    progress(&format!("fanout: {events} events to {ENDPOINTS} endpoints each, then a worker starts"));
    let order = house.order(Pace::AsFastAsAnswered, Until::Requests(events));
    let round = Round::take_backlog(&mut house, &sink, &order, u64::from(ENDPOINTS))?;
    house.stop()?;

    let mut figures = Figures::new("fanout");
    figures.add("deliveries", round.deliveries(), "");
    figures.add("delivered", round.journey.arrivals_per_second(), "1/s");
    figures.add("accepted", round.tally.accepted_per_second(), "1/s");
    figures.add("worker_cpu_per_delivery", round.per_delivery_ms(round.used.worker), "ms");
    figures.add("postgres_cpu_per_delivery", round.per_delivery_ms(round.used.postgres), "ms");
    figures.add("wal_per_delivery", round.used.wal_bytes / round.deliveries(), "B");
    figures.add("duplicates", round.journey.duplicates as f64, "");
    figures.add("signatures_verified", round.seen.verified as f64, "");
    Ok(figures)
}
