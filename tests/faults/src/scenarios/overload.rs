//! Five times what the service can take (R6): it answers all, accepts nearly as much as ever, and soon. The api has little
//! CPU here, so that the load of five of it can be made on the same machine.

use std::time::{Duration, Instant};

use super::neighbours::percentile;
use crate::control_group::ControlGroup;
use crate::house::{House, Tenant};
use crate::ledger::Ledger;
use crate::publisher::{Figures, Load, Publisher};
use crate::trial::Trial;

const PATH: &str = "/hook";

/// Of one core; its memory is bounded too, since queues are.
const CPU_PERCENT: u64 = 12;
const MEMORY_MIB: u64 = 256;

/// More connections than these only queue.
const PUBLISHERS_AT_PEAK: u32 = 64;
const TIMES: u32 = 5;

/// Enough for five times the rate at a third of a second each.
const PUBLISHERS_AT_OVERLOAD: u32 = 2_000;

/// R6.
const GOODPUT_MIN: f64 = 0.8;
const P99_MAX: Duration = Duration::from_secs(1);

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
    let length = Duration::from_secs(trial.pick(8, 30));
    let mut house = House::furnished(&trial.folder, &trial.programs, 1, 1).await?;
    let tenant = house.tenant("publisher", PATH).await?;
    let group = ControlGroup::create(MEMORY_MIB, CPU_PERCENT)?;
    group.take_in(house.apis[0].id()?)?;
    // The first seconds are those of cold caches.
    publish(&house, &tenant, 0, PUBLISHERS_AT_PEAK, Duration::from_secs(2)).await?;
    let (peak, _) = publish(&house, &tenant, 0, PUBLISHERS_AT_PEAK, length).await?;
    let offered = TIMES * peak as u32;
    let (goodput, figures) = publish(&house, &tenant, offered, PUBLISHERS_AT_OVERLOAD, length).await?;
    let mut waits: Vec<Duration> = figures.accepted.iter().map(|one| one.answered - one.asked).collect();
    waits.sort();
    let others = figures.other_than(&[429, 503]);
    trial.report.share_at_least("goodput of the peak", goodput / peak, GOODPUT_MIN);
    trial.report.exactly("answers other than 201, 429, 503", others, 0);
    trial.report.exactly("429 and 503 without Retry-After", figures.without_retry_after, 0);
    trial.report.within("p99 of accepted", percentile(&waits, 99), P99_MAX);
    trial
        .report
        .note(format!("peak {peak:.0}/s, offered {offered}/s, accepted {goodput:.0}/s: {}", figures.tally()));
    trial.until_drained(&house, Instant::now()).await?;
    let (after, _) = publish(&house, &tenant, 0, PUBLISHERS_AT_PEAK, Duration::from_secs(4)).await?;
    trial.report.share_at_least("of the peak afterwards", after / peak, GOODPUT_MIN);
    trial.report.at_least("times throttled", group.throttled()?, 1);
    house.close().await
}

/// Publishes for that long; returns how many were accepted a second.
async fn publish(
    house: &House,
    tenant: &Tenant,
    rate: u32,
    publishers: u32,
    length: Duration,
) -> anyhow::Result<(f64, Figures)> {
    let load = Load { rate, publishers, keyed_of_three: 0, padding: 1_000, ..Load::default() };
    let publisher = Publisher::start(house.apis_in_turn(), &tenant.api_key, Ledger::in_memory(), load);
    let began = Instant::now();
    tokio::time::sleep(length).await;
    let figures = publisher.figures();
    let accepted = figures.accepted.len() as f64 / began.elapsed().as_secs_f64();
    publisher.stop().await?;
    Ok((accepted, figures))
}
