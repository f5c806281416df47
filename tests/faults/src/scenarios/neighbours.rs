//! Ten well-behaved tenants, and how soon they are served: what one bad tenant must not change (R4).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::house::House;
use crate::publisher::{Load, Publisher};
use crate::trial::Trial;
use crate::verdict::Came;

const TENANTS: usize = 10;
const RATE_EACH: u32 = 20;

/// R4: "p99 time to first attempt <= max(2x their baseline, 500 ms), throughput >= 90 %".
const P99_FLOOR: Duration = Duration::from_millis(500);
const THROUGHPUT_MIN: f64 = 0.9;

/// Events answered so shortly before the end of a window that they may still be on their way are not looked at.
const UNDER_WAY: Duration = Duration::from_secs(1);

pub(crate) struct Neighbours {
    streams: Vec<(String, crate::ledger::Ledger, Publisher)>,
    padding: usize,
}

/// What they saw for a while.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
    pub(crate) arrivals_per_second: f64,
}

impl Neighbours {
    pub(crate) async fn start(trial: &Trial, house: &House) -> anyhow::Result<Self> {
        let load = Load { rate: RATE_EACH, publishers: 2, ..Load::default() };
        let mut streams = Vec::new();
        for index in 0..TENANTS {
            let name = format!("neighbour-{index}");
            let path = format!("/{name}");
            let tenant = house.tenant(&name, &path).await?;
            let ledger = trial.ledger(&name)?;
            let publisher =
                Publisher::start(house.apis_in_turn(), &tenant.api_key, ledger.clone(), load.clone());
            streams.push((path, ledger, publisher));
        }
        Ok(Self { streams, padding: load.padding })
    }

    /// Watches for that long, beginning now.
    pub(crate) async fn watch(&self, house: &House, length: Duration) -> Window {
        let begin = Instant::now();
        tokio::time::sleep(length).await;
        let end = Instant::now();
        let mut first: HashMap<(String, u64), Instant> = HashMap::new();
        for arrival in house.sink.arrivals() {
            if let Some(number) = arrival.number {
                first.entry((arrival.path, number)).or_insert(arrival.at);
            }
        }
        let mut waits = Vec::new();
        let mut arrived = 0_u32;
        for (path, _, publisher) in &self.streams {
            for event in publisher.figures().accepted {
                let at = first.get(&(path.clone(), event.number)).copied();
                arrived += u32::from(at.is_some_and(|at| at >= begin && at <= end));
                if event.answered >= begin && event.answered + UNDER_WAY <= end {
                    // What has not come yet has waited until now, at least.
                    waits.push(at.unwrap_or(end).saturating_duration_since(event.answered));
                }
            }
        }
        waits.sort();
        Window {
            median: percentile(&waits, 50),
            p99: percentile(&waits, 99),
            arrivals_per_second: f64::from(arrived) / length.as_secs_f64(),
        }
    }

    /// R4, against what it was before.
    pub(crate) fn compare(trial: &mut Trial, before: Window, now: Window) {
        let limit = P99_FLOOR.max(2 * before.p99);
        trial.report.within("p99 to the first attempt", now.p99, limit);
        let share = now.arrivals_per_second / before.arrivals_per_second;
        trial.report.share_at_least("throughput", share, THROUGHPUT_MIN);
        trial.report.note(format!(
            "before: median {:?}, p99 {:?}; now: median {:?}, p99 {:?}",
            before.median, before.p99, now.median, now.p99
        ));
    }

    /// Stops them; nothing of theirs may be lost, nor come twice but for what was in flight at a kill.
    pub(crate) async fn settle(self, trial: &mut Trial, house: &House, in_flight: u64) -> anyhow::Result<()> {
        let mut entries = crate::ledger::Entries::default();
        let mut came = Vec::new();
        let mut stopped = Vec::new();
        for (path, ledger, publisher) in self.streams {
            publisher.stop().await?;
            stopped.push((path, ledger));
        }
        // The last of them are under way.
        tokio::time::sleep(UNDER_WAY).await;
        let arrivals = house.sink.arrivals();
        for (path, ledger) in stopped {
            came.extend(Came::at_sink(&arrivals, &path, self.padding));
            let of_this = ledger.entries();
            entries.acknowledged.extend(of_this.acknowledged);
            entries.in_doubt.extend(of_this.in_doubt);
        }
        trial.judge("neighbours", &entries, &came, in_flight);
        Ok(())
    }
}

/// The nearest rank of sorted times; the worst of all where there are none.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(rank).copied().unwrap_or(Duration::MAX)
}
