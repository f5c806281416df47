//! One run of one scenario: what it may use, and what it found.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::house::House;
use crate::ledger::{Entries, Ledger};
use crate::programs::Programs;
use crate::publisher::Load;
use crate::report::Report;
use crate::verdict::{Came, judge};

/// R1: "all drained <= 60 s after the faults end".
const DRAINED: Duration = Duration::from_secs(60);

/// Longer than [`DRAINED`], so that a failure tells by how much.
const DRAIN_PATIENCE: Duration = Duration::from_secs(150);

/// How much time there is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// For every change: ten minutes for all scenarios.
    Quick,
    /// Everything as promised.
    Full,
}

/// How a run goes about its scenarios.
#[derive(Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) effort: Effort,
    pub(crate) seed: u64,
    /// See [`Report`].
    pub(crate) patience: f64,
}

/// What a scenario works with.
pub(crate) struct Trial {
    pub(crate) programs: Programs,
    /// Decides whom a fault hits and when; the same seed, the same schedule.
    pub(crate) random: StdRng,
    pub(crate) effort: Effort,
    /// For data and logs; removed when everything held.
    pub(crate) folder: PathBuf,
    pub(crate) report: Report,
}

impl Trial {
    pub(crate) fn new(programs: Programs, schedule: Schedule, folder: PathBuf) -> Self {
        let random = StdRng::seed_from_u64(schedule.seed);
        Self { programs, random, effort: schedule.effort, folder, report: Report::new(schedule.patience) }
    }

    /// One of two numbers, by how much time there is.
    pub(crate) fn pick<T>(&self, quick: T, full: T) -> T {
        if self.effort == Effort::Quick { quick } else { full }
    }

    /// What is published beside the faults: so fast, where there is little time, that R1's 10,000 are soon reached.
    pub(crate) fn load(&self) -> Load {
        Load { rate: self.pick(800, 250), publishers: 32, ..Load::default() }
    }

    /// Waits a random time, from half to one and a half of `about`, so that faults hit every moment of a cycle.
    pub(crate) async fn wait_about(&mut self, about: Duration) {
        let factor = self.random.random_range(0.5..1.5);
        tokio::time::sleep(about.mul_f64(factor)).await;
    }

    pub(crate) fn ledger(&self, tenant: &str) -> anyhow::Result<Ledger> {
        Ledger::open(&self.folder.join(format!("acknowledged-{tenant}.log")))
    }

    /// Waits until nothing is left to be delivered; `since` is when the faults ended.
    pub(crate) async fn until_drained(&mut self, house: &House, since: Instant) -> anyhow::Result<()> {
        let mut open = house.database.open().await?;
        while open > 0 && since.elapsed() < DRAIN_PATIENCE {
            tokio::time::sleep(Duration::from_millis(100)).await;
            open = house.database.open().await?;
        }
        self.report.within("drained", since.elapsed(), DRAINED);
        // However patient the run is: what never comes to its end is no matter of speed.
        self.report.exactly("left open", open, 0);
        Ok(())
    }

    /// R1 and R2 for one tenant: nothing lost, no more duplicates than attempts were in flight, nothing made up.
    pub(crate) fn judge(&mut self, whose: &str, entries: &Entries, came: &[Came], in_flight_at_kills: u64) {
        let verdict = judge(entries, came);
        self.report.note(format!("{whose}: {} acknowledged", verdict.acknowledged));
        self.report.exactly(&format!("{whose} lost"), verdict.lost, 0);
        self.report.at_most(&format!("{whose} duplicated"), verdict.duplicated, in_flight_at_kills);
        self.report.exactly(&format!("{whose} unexpected"), verdict.unexpected, 0);
    }
}
