//! How fast a backlog is delivered: 100,000 deliveries wait, then one worker starts.

use std::time::Duration;

use anyhow::ensure;

use crate::house::meter::Meter;
use crate::house::{House, TENANTS};
use crate::join::Journey;
use crate::ledger;
use crate::load::{self, Pace, Until};
use crate::report::{Figures, progress};
use crate::run::Run;
use crate::sink::{SAMPLE, Sink};

const DELIVERIES: u64 = 100_000;

/// A worker that brings nothing for so long has stopped working.
const SILENCE: Duration = Duration::from_secs(30);

pub(crate) fn measure(run: &Run) -> anyhow::Result<Figures> {
    let limits = run.limits()?;
    let sink = Sink::start(run, SAMPLE)?;
    let mut house = House::start(run, &sink, TENANTS)?;
    let wanted = run.count(DELIVERIES);
    progress(&format!("drain: publishing {wanted} events while no worker runs"));
    let mut order = house.order(Pace::AsFastAsAnswered, Until::Requests(wanted));
    order.ledger = Some(run.folder.join("answered"));
    let tally = load::send(&order)?;
    let acknowledged = ledger::take(&run.folder.join("answered"))?;
    progress(&format!("drain: {} wait; starting a worker", acknowledged.len()));

    let before = house.read_meter()?;
    let sink_before = sink.cpu_seconds();
    house.start_worker()?;
    sink.wait_for(acknowledged.len() as u64, SILENCE)?;
    house.wait_until_recorded()?;
    let used = house.read_meter()?.since(&before);
    let sink_used = sink.cpu_seconds() - sink_before;
    // A worker that stops hands its statistics to the server.
    house.stop_workers()?;
    let hot_share = house.hot_update_share()?;
    let seen = sink.seen()?;
    let count = acknowledged.len() as f64;
    let journey = Journey::new(acknowledged, sink.take()?);
    ensure!(journey.lost == 0, "{} events were acknowledged and never arrived", journey.lost);
    house.stop()?;

    let mut figures = Figures::new("drain");
    let rate = journey.arrivals_per_second();
    figures.add("deliveries", count, "");
    figures.add("delivered", rate, "1/s");
    if let Some(client) = limits.client {
        figures.add("share_of_client", 100.0 * rate / client, "%");
    }
    add_use(&mut figures, &used, count);
    figures.add("sink_cpu_per_delivery", 1e3 * sink_used / count, "ms");
    figures.add("wal_per_delivery", used.wal_bytes / count, "B");
    figures.add("hot_updates", 100.0 * hot_share, "%");
    figures.add("lost", journey.lost as f64, "");
    figures.add("duplicates", journey.duplicates as f64, "");
    figures.add("signatures_verified", seen.verified as f64, "");
    figures.add("published", tally.accepted_per_second(), "1/s");
    Ok(figures)
}

/// CPU by process, per delivery.
fn add_use(figures: &mut Figures, used: &Meter, deliveries: f64) {
    figures.add("worker_cpu_per_delivery", 1e3 * used.worker / deliveries, "ms");
    figures.add("postgres_cpu_per_delivery", 1e3 * used.postgres / deliveries, "ms");
}
