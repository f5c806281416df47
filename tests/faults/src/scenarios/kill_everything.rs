//! kill -9 of everything at one moment, PostgreSQL with all its processes included: a power failure.

use std::time::{Duration, Instant};

use super::traffic::Traffic;
use crate::house::House;
use crate::trial::Trial;

const EVERY: Duration = Duration::from_secs(6);

/// R3: "Postgres restarted: serving again <= 5 s". The doors start at once and find it there.
const SERVING_AGAIN: Duration = Duration::from_secs(5);

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
    let times = trial.pick(3, 10);
    let mut house = House::furnished(&trial.folder, &trial.programs, 2, 2).await?;
    let traffic = Traffic::start(trial, &mut house, trial.load()).await?;
    let mut in_flight = 0;
    let mut slowest = Duration::ZERO;
    for _ in 0..times {
        trial.wait_about(EVERY).await;
        in_flight += house.freeze_and_count().await?;
        kill_all(&mut house).await?;
        house.server.come_back().await?;
        let back = Instant::now();
        start_all(&mut house).await?;
        slowest = slowest.max(back.elapsed());
    }
    trial.report.note(format!("{times} power failures"));
    trial.report.within("all doors ready again", slowest, SERVING_AGAIN);
    traffic.until_enough().await?;
    traffic.settle(trial, &house, in_flight).await?;
    house.close().await
}

async fn kill_all(house: &mut House) -> anyhow::Result<()> {
    house.server.kill_everything().await?;
    for process in house.apis.iter_mut().chain(&mut house.workers).chain(&mut house.receivers) {
        process.kill().await?;
    }
    Ok(())
}

async fn start_all(house: &mut House) -> anyhow::Result<()> {
    let mut everyone: Vec<_> =
        house.apis.iter_mut().chain(&mut house.workers).chain(&mut house.receivers).collect();
    for process in &mut everyone {
        process.start()?;
    }
    for process in everyone {
        process.until_ready().await?;
    }
    Ok(())
}
