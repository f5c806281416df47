//! What nearly every measure does: publish, wait until everything has arrived and is recorded, lay both sides together.

use std::time::Duration;

use anyhow::ensure;

use crate::house::House;
use crate::house::meter::Meter;
use crate::join::Journey;
use crate::ledger;
use crate::load::{self, Order, Tally};
use crate::sink::{Seen, Sink};

/// A worker that brings nothing for so long has stopped working.
const SILENCE: Duration = Duration::from_secs(30);

/// What a round was like.
pub(crate) struct Round {
    pub(crate) tally: Tally,
    pub(crate) journey: Journey,
    pub(crate) seen: Seen,
    /// Used by the house and by the sink from before the first request until the last outcome was recorded.
    pub(crate) used: Meter,
    pub(crate) sink_cpu_seconds: f64,
}

impl Round {
    /// Publishes while a worker runs.
    pub(crate) fn take(house: &House<'_>, sink: &Sink, order: &Order, fan_out: u64) -> anyhow::Result<Self> {
        let start = (house.read_meter()?, sink.cpu_seconds());
        let waiting = publish(house, order)?;
        finish(house, sink, waiting, start, fan_out)
    }

    /// Publishes while no worker runs, then starts so many; only what these do is metered.
    pub(crate) fn take_backlog(
        house: &mut House<'_>,
        sink: &Sink,
        order: &Order,
        fan_out: u64,
    ) -> anyhow::Result<Self> {
        let waiting = publish(house, order)?;
        let start = (house.read_meter()?, sink.cpu_seconds());
        house.start_worker()?;
        finish(house, sink, waiting, start, fan_out)
    }

    /// Deliveries of acknowledged events.
    pub(crate) fn deliveries(&self) -> f64 {
        self.journey.trips.len() as f64
    }

    /// Milliseconds for each delivery of what took so many CPU seconds.
    pub(crate) fn per_delivery_ms(&self, seconds: f64) -> f64 {
        1e3 * seconds / self.deliveries()
    }
}

type Answered = (Tally, Vec<ledger::Entry>);

fn publish(house: &House<'_>, order: &Order) -> anyhow::Result<Answered> {
    let file = house.run.folder.join("answered");
    let order = Order { ledger: Some(file.clone()), ..order.clone() };
    Ok((load::send(&order)?, ledger::take(&file)?))
}

fn finish(
    house: &House<'_>,
    sink: &Sink,
    (tally, acknowledged): Answered,
    (meter, sink_cpu): (Meter, f64),
    fan_out: u64,
) -> anyhow::Result<Round> {
    sink.wait_for(acknowledged.len() as u64 * fan_out, SILENCE)?;
    house.wait_until_recorded()?;
    let used = house.read_meter()?.since(&meter);
    let sink_cpu_seconds = sink.cpu_seconds() - sink_cpu;
    let seen = sink.seen()?;
    let journey = Journey::new(acknowledged, sink.take()?);
    ensure!(journey.lost == 0, "{} events were acknowledged and never arrived", journey.lost);
    Ok(Round { tally, journey, seen, used, sink_cpu_seconds })
}
