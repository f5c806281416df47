//! Five times what the service can take (R6): it answers all, accepts nearly as much as ever, and soon. What is short has little
//! CPU here, so that the load of five of it can be made on the same machine.

use std::time::{Duration, Instant};

use super::neighbours::percentile;
use crate::control_group::ControlGroup;
use crate::house::{House, Tenant};
use crate::ledger::Ledger;
use crate::publisher::{Figures, Load, Publisher};
use crate::trial::Trial;

const PATH: &str = "/hook";

/// Of one core.
const CPU_PERCENT: u64 = 12;

/// The api's queues are bounded, so that it needs no more.
const API_MEMORY_MIB: u64 = 256;

/// What a server of some connections needs: its memory is not what is tried.
const SERVER_MEMORY_MIB: u64 = 2_048;

/// More connections than these only queue: a statement takes no more events along for them.
const PUBLISHERS_AT_PEAK: u32 = 256;
const TIMES: u32 = 5;

/// Enough for five times the rate at a third of a second each.
const PUBLISHERS_AT_OVERLOAD: u32 = 2_000;

/// How often it is looked whether the rate is as before.
const RECOVERY_TRIES: u32 = 10;

/// R6.
const GOODPUT_MIN: f64 = 0.8;
const P99_MAX: Duration = Duration::from_secs(1);

/// The database is what is short, as in any larger installation: more of the api are quickly had.
pub(super) async fn of_database(trial: &mut Trial) -> anyhow::Result<()> {
    let house = House::furnished(&trial.folder, &trial.programs, 1, 1).await?;
    let group = ControlGroup::create(SERVER_MEMORY_MIB, CPU_PERCENT)?;
    for process in house.server.processes()? {
        group.take_in(process)?;
    }
    let waits = run(trial, house, &group).await?;
    trial.report.within("p99 of accepted", percentile(&waits, 99), P99_MAX);
    Ok(())
}

/// The api itself is what is short: to refuse costs it nearly as much as to accept, so that it lets all wait and refuses few.
/// Their wait is that of their number, for which a second api is the remedy; it is told, not judged.
pub(super) async fn of_api(trial: &mut Trial) -> anyhow::Result<()> {
    let house = House::furnished(&trial.folder, &trial.programs, 1, 1).await?;
    let group = ControlGroup::create(API_MEMORY_MIB, CPU_PERCENT)?;
    group.take_in(house.apis[0].id()?)?;
    let waits = run(trial, house, &group).await?;
    trial.report.note(format!("p99 of accepted {:.2?}", percentile(&waits, 99)));
    Ok(())
}

/// Returns how long each accepted event waited for its answer, in order.
async fn run(trial: &mut Trial, mut house: House, group: &ControlGroup) -> anyhow::Result<Vec<Duration>> {
    let length = Duration::from_secs(trial.pick(8, 30));
    let tenant = house.tenant("publisher", PATH).await?;
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
    trial
        .report
        .note(format!("peak {peak:.0}/s, offered {offered}/s, accepted {goodput:.0}/s: {}", figures.tally()));
    // What was taken in on top of what so little CPU can deliver is delivered once there is more of it.
    group.widen()?;
    trial.until_drained(&house, Instant::now()).await?;
    group.narrow(CPU_PERCENT)?;
    // What lies behind is vacuumed first, with the same little CPU.
    let mut after = 0.0_f64;
    for _ in 0..RECOVERY_TRIES {
        if after < GOODPUT_MIN * peak {
            after = publish(&house, &tenant, 0, PUBLISHERS_AT_PEAK, length / 2).await?.0;
        }
    }
    trial.report.share_at_least("of the peak afterwards", after / peak, GOODPUT_MIN);
    trial.report.at_least("times throttled", group.throttled()?, 1);
    house.close().await?;
    Ok(waits)
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
