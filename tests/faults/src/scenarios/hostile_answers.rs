//! Endpoints whose answers are made to break the caller. Each attempt ends at its deadline at the latest and is told
//! (R9), the worker lives on within bounded memory, and others are served.

use std::time::{Duration, Instant};

use anyhow::Context;

use super::neighbours::Neighbours;
use crate::hostile::{self, Manner};
use crate::house::{Door, House};
use crate::publisher::{Load, Publisher};
use crate::trial::Trial;

/// Two attempts each are fewer than open the endpoint's breaker, behind which the rest would wait for 30 s.
const EVENTS_EACH: u64 = 4;

/// R9: "an attempt never outlives its deadline by more than 0.5 s"; the deadline is a second here.
const LONGEST_MS: u64 = 1_500;

/// R9: "nor holds more than 256 KiB", for all attempts that can be in flight to hostile endpoints at one time, beside
/// what the worker needs anyway.
const HELD_KIB_EACH: u64 = 256;
const OWN_KIB: u64 = 64 * 1_024;

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
    let house = &mut House::open(&trial.folder, &trial.programs, &[]).await?;
    house.start(Door::Api, |_| {}).await?;
    // Two attempts each, a second apart: enough to see that a failure leaves nothing behind.
    house.start(Door::Worker, |role| role.set("TRUNKLINE__DELIVERY__RETRY_SCHEDULE", "1s")).await?;
    let neighbours = Neighbours::start(trial, house).await?;
    let began = Instant::now();
    for manner in Manner::ALL {
        let name = format!("{manner:?}").to_lowercase();
        let url = format!("http://127.0.0.1:{}/", hostile::listen(manner).await?);
        let tenant = house.tenant_at(&name, &url).await?;
        // Filled so that an endpoint that never reads stops the sender in the middle.
        let load = Load { rate: 0, events_max: EVENTS_EACH, padding: 150_000, ..Load::default() };
        let ledger = trial.ledger(&name)?;
        Publisher::start(house.apis_in_turn(), &tenant.api_key, ledger, load).finish().await?;
    }
    let settled = "SELECT count(*) FROM trunkline.deliveries
        WHERE due_at IS NOT NULL AND tenant_id NOT LIKE 'neighbour-%'";
    while house.database.number(settled).await? > 0 && began.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    judge(trial, house).await?;
    let window = neighbours.watch(house, Duration::from_secs(3)).await;
    trial.report.within("p99 of the neighbours", window.p99, Duration::from_millis(500));
    neighbours.settle(trial, house, 0).await?;
    house.close().await
}

async fn judge(trial: &mut Trial, house: &mut House) -> anyhow::Result<()> {
    let of_hostile = "FROM trunkline.attempts WHERE tenant_id NOT LIKE 'neighbour-%'";
    let longest = house.database.number(&format!("SELECT max(duration_ms) {of_hostile}")).await?;
    trial.report.at_most("longest attempt, ms", longest, LONGEST_MS);
    let unrecorded = "SELECT count(*) FROM trunkline.deliveries WHERE (attempts = 0 OR due_at IS NOT NULL)
        AND tenant_id NOT LIKE 'neighbour-%'";
    trial.report.exactly("deliveries without an end", house.database.number(unrecorded).await?, 0);
    trial.report.exactly("attempts that do not add up", house.database.miscounted().await?, 0);
    let internal = format!("SELECT count(*) {of_hostile} AND outcome IN ('internal_error', 'abandoned')");
    trial.report.exactly("told as our own fault", house.database.number(&internal).await?, 0);
    let panics = house.workers[0].metric("trunkline_worker_panics_total").await?;
    trial.report.exactly("panics", panics as u64, 0);
    let attempts = Manner::ALL.len() as u64 * EVENTS_EACH;
    trial.report.at_most("peak memory, KiB", peak_kib(house)?, OWN_KIB + attempts * HELD_KIB_EACH);
    trial.report.exactly("worker ended", u64::from(house.workers[0].has_ended()?), 0);
    Ok(())
}

fn peak_kib(house: &House) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", house.workers[0].id()?))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
