//! How fast events are accepted, each answered after its commit, while no worker runs.

use anyhow::ensure;

use crate::house::{House, TENANTS};
use crate::load::{self, Pace, Until};
use crate::report::{Figures, progress};
use crate::run::Run;
use crate::sink::Sink;

pub(crate) fn measure(run: &Run) -> anyhow::Result<Figures> {
    let limits = run.limits()?;
    let sink = Sink::start(run, 0)?;
    let house = House::start(run, &sink, TENANTS)?;
    progress("ingest: 1 KiB events over 64 connections, as fast as they are answered");
    let mut order = house.order(Pace::AsFastAsAnswered, Until::Seconds(run.seconds(15.0)));
    order.warm_up_seconds = run.seconds(3.0);
    order.ledger = Some(run.folder.join("answered"));
    let before = house.read_meter()?;
    let tally = load::send(&order)?;
    let used = house.read_meter()?.since(&before);
    let acknowledged = crate::ledger::take(&run.folder.join("answered"))?.len() as f64;
    let stored = house.server.number("SELECT count(*) FROM trunkline.deliveries")?;
    ensure!(stored >= acknowledged, "{acknowledged} events were acknowledged, {stored} are stored");
    let statements = house.top_statements()?;
    house.stop()?;

    let mut figures = Figures::new("ingest");
    let rate = tally.accepted_per_second();
    figures.add("accepted", rate, "1/s");
    figures.add("share_of_bare_handler", 100.0 * rate / limits.bare_handler, "%");
    figures.add("share_of_database", 100.0 * rate / limits.database, "%");
    figures.add_waits("answer", &tally.answer);
    figures.add("refused", tally.refused as f64, "");
    figures.add("api_cpu_per_event", 1e3 * used.api / acknowledged, "ms");
    figures.add("postgres_cpu_per_event", 1e3 * used.postgres / acknowledged, "ms");
    figures.add("publisher_cpu_per_event", 1e3 * tally.cpu_seconds / tally.sent as f64, "ms");
    figures.add("wal_per_event", used.wal_bytes / acknowledged, "B");
    figures.notes.extend(statements);
    Ok(figures)
}
