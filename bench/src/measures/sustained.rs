//! Everything at once: publisher, api, PostgreSQL, worker and sink share the machine, and the rate rises until the queue
//! grows.

use crate::house::{House, PAYLOAD_BYTES, TENANTS};
use crate::load::{Pace, Until};
use crate::measures::round::Round;
use crate::report::{Figures, progress};
use crate::run::Run;
use crate::sink::{SAMPLE, Sink};

/// Where the search begins, events a second; it doubles from there.
const FIRST_RATE: f64 = 1_000.0;

/// A publisher cannot offer more on such a machine.
const LAST_RATE: f64 = 64_000.0;

/// The search ends when what held and what did not are this close, as a factor.
const CLOSE: f64 = 1.06;

/// Seconds that count.
const WINDOW_SECONDS: f64 = 10.0;

/// Seconds before.
const WARM_UP_SECONDS: f64 = 3.0;

/// How much longer the queue may be at the end of the window than at its middle, in seconds of the rate: batches come and
/// go. Over the five seconds between it is one percent.
const GROWTH_SECONDS: f64 = 0.05;

/// Of the rate offered, what must be accepted.
const ACCEPTED: f64 = 0.99;

/// Shares of the highest rate at which waits are told.
const SHARES: [u32; 4] = [25, 50, 75, 100];

pub(crate) fn measure(run: &Run) -> anyhow::Result<Figures> {
    let limits = run.limits()?;
    let sink = Sink::start(run, SAMPLE)?;
    let mut house = House::start(run, &sink, TENANTS)?;
    house.start_worker()?;
    let highest = search(|rate| Ok(Step::take(run, &house, &sink, rate)?.holds()))?;

    let mut figures = Figures::new("sustained");
    figures.add("sustained", highest, "1/s");
    figures.add("share_of_straight_into_sink", 100.0 * highest / limits.straight, "%");
    for share in SHARES {
        let step = Step::take(run, &house, &sink, highest * f64::from(share) / 100.0)?;
        step.add_to(&mut figures, share);
    }
    house.stop()?;
    Ok(figures)
}

/// The highest rate that holds, to within [`CLOSE`].
fn search(mut holds: impl FnMut(f64) -> anyhow::Result<bool>) -> anyhow::Result<f64> {
    let (mut good, mut bad) = (0.0, f64::INFINITY);
    let mut rate = FIRST_RATE;
    while rate <= LAST_RATE && bad > good * CLOSE {
        if holds(rate)? {
            good = rate;
        } else {
            bad = rate;
        }
        rate = if bad.is_infinite() { good * 2.0 } else { ((good + bad) / 2.0).round() };
        if good == 0.0 && rate < 1.0 {
            break;
        }
    }
    Ok(good)
}

/// One rate, held for a while.
struct Step {
    rate: f64,
    round: Round,
}

impl Step {
    fn take(run: &Run, house: &House<'_>, sink: &Sink, rate: f64) -> anyhow::Result<Self> {
        let mut order = house.order(Pace::PerSecond(rate), Until::Seconds(run.seconds(WINDOW_SECONDS)));
        order.warm_up_seconds = run.seconds(WARM_UP_SECONDS);
        let step = Self { rate, round: Round::take(house, sink, &order, 1)? };
        let (middle, end) = step.queue();
        progress(&format!(
            "sustained: {rate:.0}/s {}: {:.0}/s accepted, {middle:.0} under way at half time, {end:.0} at the end",
            if step.holds() { "holds" } else { "does not hold" },
            step.round.tally.accepted_per_second()
        ));
        Ok(step)
    }

    fn holds(&self) -> bool {
        let (middle, end) = self.queue();
        let keeps_up = end - middle <= self.rate * GROWTH_SECONDS;
        let tally = &self.round.tally;
        keeps_up && tally.accepted_per_second() >= self.rate * ACCEPTED && tally.refused == 0
    }

    /// Events answered and not yet arrived, around the middle and the end of the window: each the mean of ten looks in
    /// the tenth of the window before, since batches make a single look a matter of luck.
    fn queue(&self) -> (f64, f64) {
        let (from_ns, until_ns) = (self.round.tally.from_ns, self.round.tally.until_ns);
        let length = until_ns - from_ns;
        let mean_before = |at_ns: u64| {
            let looks = (0..10).map(|look| self.round.journey.under_way(at_ns - look * length / 100) as f64);
            looks.sum::<f64>() / 10.0
        };
        (mean_before(from_ns + length / 2), mean_before(until_ns))
    }

    fn add_to(&self, figures: &mut Figures, share: u32) {
        let Round { tally, journey, used, .. } = &self.round;
        let cpu = [
            ("cpu", used.cpu_seconds()),
            ("api_cpu", used.api),
            ("worker_cpu", used.worker),
            ("postgres_cpu", used.postgres),
            ("sink_cpu", self.round.sink_cpu_seconds),
            ("publisher_cpu", tally.cpu_seconds),
        ];
        figures.add(format!("rate_at_{share}"), self.rate, "1/s");
        figures.add_waits(&format!("answer_at_{share}"), &tally.answer);
        figures
            .add_waits(&format!("201_to_arrival_at_{share}"), &journey.waits(tally.from_ns, tally.until_ns));
        for (name, seconds) in cpu {
            figures.add(format!("{name}_per_event_at_{share}"), self.round.per_delivery_ms(seconds), "ms");
        }
        // A payload of this size is stored and logged as it is: it is too short to be compressed or moved out.
        let wal = used.wal_bytes / self.round.deliveries() - PAYLOAD_BYTES as f64;
        figures.add(format!("wal_per_event_at_{share}"), wal, "B");
        figures.add(format!("duplicates_at_{share}"), journey.duplicates as f64, "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_finds_the_edge_from_either_side() {
        for edge in [130.0, 1_000.0, 9_700.0] {
            let found = search(|rate| Ok(rate <= edge)).unwrap();
            assert!(found <= edge && found > edge / 1.15, "{found} for {edge}");
        }
    }
}
