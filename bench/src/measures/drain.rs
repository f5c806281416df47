//! How fast a backlog is delivered: 100,000 deliveries wait, then one worker starts.

use crate::house::{House, TENANTS};
use crate::load::{Pace, Until};
use crate::measures::round::Round;
use crate::report::{Figures, progress};
use crate::run::Run;
use crate::sink::{SAMPLE, Sink};

const DELIVERIES: u64 = 100_000;

pub(crate) fn measure(run: &Run) -> anyhow::Result<Figures> {
    let limits = run.limits()?;
    let sink = Sink::start(run, SAMPLE)?;
    let mut house = House::start(run, &sink, TENANTS)?;
    let wanted = run.count(DELIVERIES);
    progress(&format!("drain: {wanted} events are published while no worker runs, then one starts"));
    let order = house.order(Pace::AsFastAsAnswered, Until::Requests(wanted));
    let round = Round::take_backlog(&mut house, &sink, &order, 1)?;
    // A worker that stops hands its statistics to the server.
    house.stop_workers()?;
    let hot_share = house.hot_update_share()?;
    house.stop()?;

    let mut figures = Figures::new("drain");
    let rate = round.journey.arrivals_per_second();
    figures.add("deliveries", round.deliveries(), "");
    figures.add("delivered", rate, "1/s");
    if let Some(client) = limits.client {
        figures.add("share_of_client", 100.0 * rate / client, "%");
    }
    figures.add("worker_cpu_per_delivery", round.per_delivery_ms(round.used.worker), "ms");
    figures.add("postgres_cpu_per_delivery", round.per_delivery_ms(round.used.postgres), "ms");
    figures.add("sink_cpu_per_delivery", round.per_delivery_ms(round.sink_cpu_seconds), "ms");
    figures.add("wal_per_delivery", round.used.wal_bytes / round.deliveries(), "B");
    figures.add("hot_updates", 100.0 * hot_share, "%");
    figures.add("lost", round.journey.lost as f64, "");
    figures.add("duplicates", round.journey.duplicates as f64, "");
    figures.add("signatures_verified", round.seen.verified as f64, "");
    Ok(figures)
}
