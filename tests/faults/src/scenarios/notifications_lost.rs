//! Notifications do not reach the workers: their session connection is silent, or cannot be made. Polling is the truth:
//! a lost notification costs a poll, no more.

use std::time::Duration;

use super::neighbours::Neighbours;
use crate::house::{Door, House, Role, free_port};
use crate::proxy::{Proxy, Weather};
use crate::trial::Trial;

/// `worker.poll_idle`, which is 250 ms, and as much again for all else.
const LATEST: Duration = Duration::from_millis(500);

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
    let window = Duration::from_secs(trial.pick(6, 30));
    let house = &mut House::furnished(&trial.folder, &trial.programs, 1, 0).await?;
    let proxy = Proxy::listen(free_port()?, house.server.port()?).await?;
    let session_url = house.database.url_at(proxy.port());
    // Not the address of the others, and yet there is no pooler.
    let apart = |role: &mut Role| {
        role.set("TRUNKLINE__DATABASE__SESSION_URL", &session_url);
        role.set("TRUNKLINE__DATABASE__POOLER", "none");
    };
    house.start(Door::Worker, apart).await?;
    let neighbours = Neighbours::start(trial, house).await?;
    neighbours.watch(house, Duration::from_secs(2)).await;
    let before = neighbours.watch(house, window).await;
    trial.report.note(format!("with notifications: median {:?}", before.median));
    for (name, weather) in [
        ("p99 while silent", Weather::Silent),
        ("p99 while refused", Weather::Reset),
        ("p99 afterwards", Weather::Fair),
    ] {
        proxy.turn(weather);
        let window = neighbours.watch(house, window).await;
        trial.report.within(name, window.p99, LATEST);
    }
    neighbours.settle(trial, house, 0).await?;
    house.close().await
}
