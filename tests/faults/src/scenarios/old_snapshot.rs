//! Somebody holds a snapshot open, so that nothing can be vacuumed and dead index entries pile up before the live ones.
//! Claims stay fast.

use std::time::{Duration, Instant};

use super::neighbours::Neighbours;
use super::traffic::Traffic;
use crate::house::{House, execute};
use crate::publisher::Load;
use crate::trial::Trial;

/// "flat within 1.5x", where it is long enough to be measured.
const FLOOR: Duration = Duration::from_millis(20);

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
    let held = Duration::from_secs(trial.pick(30, 600));
    let window = Duration::from_secs(trial.pick(8, 30));
    let house = &mut House::furnished(&trial.folder, &trial.programs, 1, 2).await?;
    let neighbours = Neighbours::start(trial, house).await?;
    let traffic = Traffic::to_sink(trial, house, Load { rate: 400, ..Load::default() }).await?;
    neighbours.watch(house, Duration::from_secs(2)).await;
    let before = neighbours.watch(house, window).await;

    let began = Instant::now();
    let mut holder = house.database.connect().await?;
    let snapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM trunkline.deliveries";
    execute(&mut holder, snapshot).await?;
    tokio::time::sleep(held.saturating_sub(window)).await;
    let now = neighbours.watch(house, window).await;
    trial.report.note(format!("held for {:.0} s", began.elapsed().as_secs_f64()));
    let dead = "SELECT sum(n_dead_tup) FROM pg_stat_user_tables WHERE relname LIKE 'deliveries_%'";
    trial.report.note(format!("{} dead rows", house.database.number(dead).await?));
    trial.report.within("median to the first attempt", now.median, FLOOR.max(before.median.mul_f64(1.5)));
    Neighbours::compare(trial, before, now);
    execute(&mut holder, "COMMIT").await?;
    neighbours.settle(trial, house, 0).await?;
    traffic.until_enough().await?;
    traffic.settle(trial, house, 0).await?;
    house.close().await
}
