//! kill -9 of a random api, worker or receiver every 2 s. An orchestrator starts each again at once.

use std::time::Duration;

use rand::RngExt;

use super::traffic::Traffic;
use crate::house::House;
use crate::trial::Trial;

const EVERY: Duration = Duration::from_secs(2);

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
    let kills = trial.pick(15, 30);
    let mut house = House::furnished(&trial.folder, &trial.programs, 2, 2).await?;
    let traffic = Traffic::start(trial, &mut house, trial.load()).await?;
    let mut in_flight = 0;
    for _ in 0..kills {
        trial.wait_about(EVERY).await;
        let victim = trial.random.random_range(0..5);
        in_flight += kill(&mut house, victim).await?;
    }
    trial.report.note(format!("{kills} kills"));
    traffic.until_enough().await?;
    traffic.settle(trial, &house, in_flight).await?;
    house.close().await
}

/// Kills one of two apis, two workers and a receiver, and starts it again. Returns how many attempts were in flight
/// where that matters: what an api was told is stored or was not acknowledged, whoever kills it.
async fn kill(house: &mut House, victim: usize) -> anyhow::Result<u64> {
    let in_flight = match victim {
        0 | 1 => 0,
        2 | 3 => house.freeze_and_count_of(victim - 2).await?,
        _ => house.freeze_and_count().await?,
    };
    let process = match victim {
        0 | 1 => &mut house.apis[victim],
        2 | 3 => &mut house.workers[victim - 2],
        _ => &mut house.receivers[0],
    };
    process.kill().await?;
    process.start()?;
    if victim > 3 {
        house.thaw()?;
    }
    Ok(in_flight)
}
