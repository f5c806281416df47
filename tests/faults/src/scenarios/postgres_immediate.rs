//! PostgreSQL stopped with `-m immediate` again and again, and once away for 10 s. No door is started again.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::traffic::Traffic;
use crate::house::House;
use crate::trial::Trial;

const EVERY: Duration = Duration::from_millis(1_500);
const AWAY: Duration = Duration::from_secs(10);

/// R3: "Postgres restarted: serving again <= 5 s".
const SERVING_AGAIN: Duration = Duration::from_secs(5);

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
    let times = trial.pick(8, 20);
    let mut house = House::furnished(&trial.folder, &trial.programs, 2, 2).await?;
    let traffic = Traffic::start(trial, &mut house, trial.load()).await?;
    let mut in_flight = 0;
    let mut slowest = Duration::ZERO;
    for time in 0..=times {
        trial.wait_about(EVERY).await;
        in_flight += house.freeze_and_count().await?;
        house.server.quit_immediately().await?;
        house.thaw()?;
        if time == times {
            tokio::time::sleep(AWAY).await;
        }
        house.server.come_back().await?;
        slowest = slowest.max(until_serving(&house).await?);
    }
    trial.report.note(format!("{times} immediate stops, then away for {} s", AWAY.as_secs()));
    trial.report.within("serving again", slowest, SERVING_AGAIN);
    traffic.until_enough().await?;
    traffic.settle(trial, &house, in_flight).await?;
    house.close().await
}

/// Serving means: every door says that it is ready, and a delivery arrives that was not in flight before.
async fn until_serving(house: &House) -> anyhow::Result<Duration> {
    let back = Instant::now();
    let before = house.database.number("SELECT count(*) FROM trunkline.attempts").await?;
    loop {
        let mut ready = true;
        for process in house.apis.iter().chain(&house.workers).chain(&house.receivers) {
            ready &= process.is_ready().await;
        }
        let recorded = house.database.number("SELECT count(*) FROM trunkline.attempts").await?;
        if ready && recorded > before {
            return Ok(back.elapsed());
        }
        ensure!(back.elapsed() < Duration::from_secs(60), "not serving again after a minute");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
