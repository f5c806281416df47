//! SIGTERM under load, door by door, as a rolling release does it (R5): exit 0 in time, nothing twice, no request fails.

use std::time::Duration;

use super::traffic::Traffic;
use crate::house::House;
use crate::publisher::Load;
use crate::rotation::Rotation;
use crate::trial::Trial;

/// R5.
const STOPPED: Duration = Duration::from_secs(25);

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
    let rounds = trial.pick(2, 8);
    let mut house = House::furnished(&trial.folder, &trial.programs, 2, 2).await?;
    let replicas = house.apis.iter().map(|api| (api.role.port, api.role.admin_port)).collect();
    // Without keys a request that fails is not repeated, and shows.
    let load = Load { keyed_of_three: 0, ..trial.load() };
    let traffic = Traffic::to_sink_by(trial, &house, load, Rotation::balanced(replicas).await).await?;
    let (mut slowest, mut unclean) = (Duration::ZERO, 0);
    for _ in 0..rounds {
        for index in 0..2 {
            trial.wait_about(Duration::from_secs(1)).await;
            for process in [&mut house.apis[index], &mut house.workers[index]] {
                let stopped = process.stop().await?;
                slowest = slowest.max(stopped.took);
                unclean += u64::from(stopped.code != Some(0));
                process.start_ready().await?;
            }
        }
    }
    trial.report.note(format!("{} stops", rounds * 4));
    trial.report.within("slowest stop", slowest, STOPPED);
    trial.report.exactly("exit codes other than 0", unclean, 0);
    traffic.until_enough().await?;
    let figures = traffic.settle(trial, &house, 0).await?;
    trial.report.exactly("failed requests", figures.other_than(&[]), 0);
    let abandoned = "SELECT count(*) FROM trunkline.attempts WHERE outcome = 'abandoned'";
    trial.report.exactly("abandoned attempts", house.database.number(abandoned).await?, 0);
    house.close().await
}
