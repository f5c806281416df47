//! Somebody holds row locks on deliveries that are due: an operator's transaction, a worker that is slow to commit. A
//! claim passes them over instead of waiting.

use std::time::{Duration, Instant};

use super::neighbours::Neighbours;
use crate::house::{House, execute};
use crate::publisher::{Load, Publisher};
use crate::trial::Trial;

const PATH: &str = "/locked";
const EVENTS: u64 = 200;

/// The oldest due, which a claim comes to first. What is in flight is passed over: without SKIP LOCKED here PostgreSQL would
/// lock it on the way.
const LOCK: &str = "BEGIN; SELECT 1 FROM trunkline.deliveries
    WHERE due_at IS NOT NULL AND lease IS NULL AND tenant_id = 'locked' ORDER BY due_at LIMIT 20 FOR UPDATE SKIP LOCKED";

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
    let window = Duration::from_secs(trial.pick(6, 20));
    let house = &mut House::furnished(&trial.folder, &trial.programs, 1, 2).await?;
    let neighbours = Neighbours::start(trial, house).await?;
    neighbours.watch(house, Duration::from_secs(2)).await;
    let before = neighbours.watch(house, window).await;

    let tenant = house.tenant("locked", PATH).await?;
    let mut holder = house.database.connect().await?;
    // A pause, so that all of it waits; failures would open the breaker.
    execute(&mut holder, &pause("now() + interval '1 hour'")).await?;
    let load = Load { rate: 0, events_max: EVENTS, ..Load::default() };
    let ledger = trial.ledger("locked")?;
    Publisher::start(house.apis_in_turn(), &tenant.api_key, ledger, load).finish().await?;
    let mut operator = house.database.connect().await?;
    execute(&mut holder, LOCK).await?;
    execute(&mut operator, &pause("NULL")).await?;
    let now = neighbours.watch(house, window).await;
    Neighbours::compare(trial, before, now);
    let open = "SELECT count(*) FROM trunkline.deliveries WHERE tenant_id = 'locked' AND due_at IS NOT NULL";
    trial.report.exactly("not delivered but for the locked ones", house.database.number(open).await?, 20);
    execute(&mut holder, "COMMIT").await?;
    let released = Instant::now();
    neighbours.settle(trial, house, 0).await?;
    trial.until_drained(house, released).await?;
    house.close().await
}

fn pause(until: &str) -> String {
    format!("UPDATE trunkline.endpoints SET paused_until = {until} WHERE tenant_id = 'locked'")
}
