//! A worker is cut off from PostgreSQL while it works: silently, as by a firewall that drops, or by RST; or only the connections it has
//! are, for good, as by a firewall that forgot them. The other worker takes over; when the network is back, so is the worker, without a
//! restart.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::traffic::Traffic;
use crate::house::{Door, House, LEASE, free_port};
use crate::proxy::{Proxy, Weather};
use crate::trial::Trial;

/// R3: "frozen or cut off: <= lease + 2 s".
const RETAKEN: Duration = LEASE.saturating_add(Duration::from_secs(2));

/// As long as PostgreSQL's own return: what is tested is that it needs no restart.
const OF_USE_AGAIN: Duration = Duration::from_secs(5);

/// The same where nothing ever says that a connection is lost: a statement under way is given up after 12 s, the server's own limit and
/// 2 s.
const OF_USE_AGAIN_AFTER_SILENCE: Duration = Duration::from_secs(15);

pub(super) async fn silently(trial: &mut Trial) -> anyhow::Result<()> {
    run(trial, Weather::Silent).await
}

pub(super) async fn for_good(trial: &mut Trial) -> anyhow::Result<()> {
    run(trial, Weather::Gone).await
}

pub(super) async fn by_reset(trial: &mut Trial) -> anyhow::Result<()> {
    run(trial, Weather::Reset).await
}

async fn run(trial: &mut Trial, weather: Weather) -> anyhow::Result<()> {
    let cuts = trial.pick(2, 10);
    let mut house = House::furnished(&trial.folder, &trial.programs, 2, 1).await?;
    let proxy = Proxy::listen(free_port()?, house.server.port()?).await?;
    let database = house.database.clone();
    house.start(Door::Worker, |role| role.reach_database_at(&database, proxy.port())).await?;
    let traffic = Traffic::start(trial, &mut house, trial.load()).await?;
    let (mut in_flight, mut slowest_retake, mut slowest_return) = (0, Duration::ZERO, Duration::ZERO);
    for _ in 0..cuts {
        trial.wait_about(Duration::from_secs(3)).await;
        let (claimed, retaken) = cut(&house, &proxy, weather).await?;
        in_flight += claimed;
        slowest_retake = slowest_retake.max(retaken);
        proxy.turn(Weather::Fair);
        slowest_return = slowest_return.max(until_of_use(&house).await?);
    }
    trial.report.note(format!("{cuts} cuts"));
    trial.report.within("retaken", slowest_retake, RETAKEN);
    let limit = if weather == Weather::Gone { OF_USE_AGAIN_AFTER_SILENCE } else { OF_USE_AGAIN };
    trial.report.within("of use again", slowest_return, limit);
    traffic.until_enough().await?;
    traffic.settle(trial, &house, in_flight).await?;
    house.close().await
}

/// Cuts the second worker off and waits until all that was claimed then is finished by somebody.
async fn cut(house: &House, proxy: &Proxy, weather: Weather) -> anyhow::Result<(u64, Duration)> {
    let in_flight = house.freeze_and_count().await?;
    let of_then = "SELECT event_id FROM trunkline.deliveries WHERE due_at IS NOT NULL AND lease IS NOT NULL";
    let events: Vec<String> = house
        .database
        .rows(of_then)
        .await?
        .into_iter()
        .map(|mut row| format!("'{}'", row.remove(0)))
        .collect();
    proxy.turn(weather);
    let since = Instant::now();
    house.thaw()?;
    let still_open = format!(
        "SELECT count(*) FROM trunkline.deliveries WHERE due_at IS NOT NULL AND event_id IN ({})",
        if events.is_empty() { "NULL".to_owned() } else { events.join(",") }
    );
    while house.database.number(&still_open).await? > 0 {
        ensure!(since.elapsed() < Duration::from_secs(60), "what a cut-off worker had claimed is stuck");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let retaken = since.elapsed();
    // Long enough for every statement under way to find out.
    tokio::time::sleep(LEASE.saturating_sub(retaken)).await;
    Ok((in_flight, retaken))
}

/// Until the second worker is ready and serves lanes again.
async fn until_of_use(house: &House) -> anyhow::Result<Duration> {
    let since = Instant::now();
    let worker = &house.workers[1];
    while worker.metric("trunkline_worker_lanes").await? < 1.0 || !worker.is_ready().await {
        ensure!(since.elapsed() < Duration::from_secs(60), "a worker that was cut off is of no use any more");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(since.elapsed())
}
