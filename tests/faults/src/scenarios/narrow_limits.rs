//! Doors with few file descriptors, little memory and little CPU: slower, but nothing is lost, nobody falls over, and no
//! endpoint is blamed for it.

use std::time::Duration;

use super::traffic::Traffic;
use crate::control_group::ControlGroup;
use crate::house::{Door, House, Role};
use crate::publisher::Load;
use crate::trial::Trial;

/// Fewer than a worker of 512 attempts or an api of 200 connections could use.
const FILES: &str = "--nofile=64";
/// For two apis and two workers.
const MEMORY_MIB: u64 = 4 * 64;
/// Of one core, for all of them.
const CPU_PERCENT: u64 = 12;

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
    let mut house = House::open(&trial.folder, &trial.programs, &[]).await?;
    let group = ControlGroup::create(MEMORY_MIB, CPU_PERCENT)?;
    let narrow = |role: &mut Role| {
        role.wrapper = vec!["prlimit".to_owned(), FILES.to_owned(), "--".to_owned()];
        // More than there are descriptors for.
        role.set("TRUNKLINE__WORKER__ENDPOINT_CONCURRENCY", "256");
    };
    for door in [Door::Api, Door::Api, Door::Worker, Door::Worker] {
        house.start(door, narrow).await?;
    }
    for process in house.apis.iter().chain(&house.workers) {
        group.take_in(process.id()?)?;
    }
    let load = Load { publishers: 150, ..trial.load() };
    let traffic = Traffic::to_sink(trial, &house, load).await?;
    tokio::time::sleep(Duration::from_secs(trial.pick(10, 60))).await;
    let mut ended = 0;
    for process in house.apis.iter_mut().chain(&mut house.workers) {
        ended += u64::from(process.has_ended()?);
    }
    let blamed = "SELECT count(*) FROM trunkline.endpoints WHERE failing_since IS NOT NULL OR breaker_open_until IS NOT NULL";
    let blamed = house.database.number(blamed).await?;
    group.widen()?;
    traffic.until_enough().await?;
    trial.report.exactly("doors that fell over", ended, 0);
    // Attempts that took longer than their lease were sent again.
    let lapsed = "SELECT count(*) FROM trunkline.attempts WHERE outcome = 'abandoned'";
    let lapsed = house.database.number(lapsed).await?;
    let figures = traffic.settle(trial, &house, lapsed).await?;
    trial.report.exactly("429 and 503 without Retry-After", figures.without_retry_after, 0);
    trial.report.exactly("endpoints blamed", blamed, 0);
    let blamed = "SELECT count(*) FROM trunkline.attempts WHERE outcome IN ('connection_error', 'dns_error', 'tls_error')";
    trial.report.exactly("attempts blamed", house.database.number(blamed).await?, 0);
    let mut ran_out = 0;
    for worker in &house.workers {
        let log = std::fs::read_to_string(&worker.role.log)?;
        ran_out += u64::from(log.contains("cannot be made from this machine: Too many open files"));
    }
    trial.report.at_least("workers that ran out of descriptors", ran_out, 1);
    trial.report.note(format!("throttled {} times, {} leases lapsed", group.throttled()?, lapsed));
    trial.report.at_least("times throttled", group.throttled()?, 1);
    house.close().await
}
