//! One tenant's endpoint hangs, with a backlog of 10,000: the others notice nothing.

use std::time::Duration;

use super::neighbours::Neighbours;
use crate::house::{ENDPOINT_CONCURRENCY, House};
use crate::publisher::{Load, Publisher};
use crate::sink::Behaviour;
use crate::trial::Trial;

const BACKLOG: u64 = 10_000;

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
    let window = Duration::from_secs(trial.pick(8, 30));
    let house = &mut House::furnished(&trial.folder, &trial.programs, 1, 2).await?;
    let neighbours = Neighbours::start(trial, house).await?;
    // The first seconds are those of cold caches.
    neighbours.watch(house, Duration::from_secs(2)).await;
    let before = neighbours.watch(house, window).await;

    house.sink.behave("/hanging", Behaviour::Hang);
    let tenant = house.tenant("hanging", "/hanging").await?;
    let load = Load { rate: 0, publishers: 32, events_max: BACKLOG, ..Load::default() };
    let ledger = trial.ledger("hanging")?;
    Publisher::start(house.apis_in_turn(), &tenant.api_key, ledger, load).finish().await?;
    let now = neighbours.watch(house, window).await;
    let waiting = house.database.open().await?;
    trial.report.at_least("backlog of the hanging endpoint", waiting, BACKLOG);
    let (_, most) = house.sink.open("/hanging");
    // Later its breaker is open, and none hangs.
    trial.report.at_least("attempts that hung at one time", most as u64, 1);
    // Caps per endpoint are exact over any number of workers.
    trial.report.at_most("attempts hanging at one time", most as u64, ENDPOINT_CONCURRENCY);
    Neighbours::compare(trial, before, now);
    neighbours.settle(trial, house, 0).await?;
    house.close().await
}
