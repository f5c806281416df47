//! From 100 bytes to 200 KiB, from the first request to the last arrival.

use crate::house::{House, TENANTS};
use crate::load::{Body, Pace, Until};
use crate::measures::round::Round;
use crate::report::{Figures, progress};
use crate::run::Run;
use crate::sink::{SAMPLE, Sink};

const SIZES: [(&str, usize); 5] =
    [("100_b", 100), ("1_kib", 1_024), ("10_kib", 10_240), ("64_kib", 65_536), ("200_kib", 204_800)];

/// Events of each size, unless they would be more bytes than this.
const EVENTS: u64 = 20_000;
const BYTES: u64 = 200_000_000;

pub(crate) fn measure(run: &Run) -> anyhow::Result<Figures> {
    let sink = Sink::start(run, SAMPLE)?;
    let mut house = House::start(run, &sink, TENANTS)?;
    house.start_worker()?;
    let mut figures = Figures::new("payload");
    for (name, bytes) in SIZES {
        let events = run.count(EVENTS.min(BYTES / bytes as u64));
        progress(&format!("payload: {events} events of {bytes} bytes"));
        let mut order = house.order(Pace::AsFastAsAnswered, Until::Requests(events));
        order.body = Body::Event { bytes };
        let round = Round::take(&house, &sink, &order, 1)?;
        let rate = round.journey.per_second_since(round.tally.from_ns);
        figures.add(format!("delivered_{name}"), rate, "1/s");
        figures.add(format!("delivered_{name}_bytes"), rate * bytes as f64 / 1e6, "MB/s");
        figures.add_waits(&format!("answer_{name}"), &round.tally.answer);
        figures.add(format!("cpu_{name}"), round.per_delivery_ms(round.used.cpu_seconds()), "ms");
        figures.add(format!("wal_{name}"), round.used.wal_bytes / round.deliveries(), "B");
    }
    house.stop()?;
    Ok(figures)
}
