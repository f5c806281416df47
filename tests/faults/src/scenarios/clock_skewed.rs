//! One worker's clock is an hour ahead, another's an hour behind. Leases and schedules go by the database's clock, so
//! that nothing is lost, sent twice, or written down at a wrong time; only signatures carry the worker's own time.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use super::traffic::{PATH, Traffic};
use crate::house::{Door, House, Role};
use crate::publisher::{Load, Publisher};
use crate::trial::Trial;

const SKEW_SECONDS: i64 = 3_600;

/// Tenants beside the one that is counted.
const OTHERS: usize = 16;
const OTHER_PATH: &str = "/others";

/// Attempts and their events, which api dates, lie minutes apart at most, however slow the machine.
const MISDATED: &str = "SELECT count(*) FROM trunkline.attempts AS a
    JOIN trunkline.events AS e USING (lane, tenant_id, event_id)
    WHERE abs(extract(epoch FROM a.started_at - e.created_at)) > 300
       OR abs(extract(epoch FROM a.started_at - now())) > 600";

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
    let library = library()?;
    let mut house = House::furnished(&trial.folder, &trial.programs, 2, 0).await?;
    house.start(Door::Worker, |role| skew(role, &library, "+1h")).await?;
    house.start(Door::Worker, |role| skew(role, &library, "-1h")).await?;
    let traffic = Traffic::to_sink(trial, &house, trial.load()).await?;
    traffic.until_enough().await?;
    // A tenant's lane belongs to one worker; of so many lanes each worker has some by now.
    for number in 0..OTHERS {
        let name = format!("other-{number}");
        let tenant = house.tenant(&name, OTHER_PATH).await?;
        let load = Load { rate: 0, events_max: 2, ..Load::default() };
        let ledger = trial.ledger(&name)?;
        Publisher::start(house.apis_in_turn(), &tenant.api_key, ledger, load).finish().await?;
    }
    traffic.settle(trial, &house, 0).await?;
    trial.report.exactly("attempts dated by a wrong clock", house.database.number(MISDATED).await?, 0);
    let signed = signed_times(&house)?;
    for (name, sign) in [("signed an hour ahead", 1), ("signed an hour behind", -1)] {
        let about = |time: &&i64| (**time - sign * SKEW_SECONDS).abs() < 300;
        // The skew is real, and both workers had their share.
        trial.report.at_least(name, signed.iter().filter(about).count() as u64, 1);
    }
    let waits: Vec<Duration> = house.sink.arrivals().windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    let longest = waits.into_iter().max().unwrap_or_default();
    trial.report.within("longest pause of arrivals", longest, Duration::from_secs(2));
    house.close().await
}

/// The clock that tells the time is shifted, the one that measures durations is not: as on a machine set wrongly.
pub(super) fn skew(role: &mut Role, library: &std::path::Path, shift: &str) {
    role.set("LD_PRELOAD", &library.display().to_string());
    role.set("FAKETIME", shift);
    role.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    role.set("DONT_FAKE_MONOTONIC", "1");
}

/// Where Debian's `libfaketime` puts it.
pub(super) fn library() -> anyhow::Result<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib")?.flatten().map(|entry| entry.path());
    let candidates = folders.map(|folder| folder.join("faketime/libfaketime.so.1"));
    candidates
        .into_iter()
        .find(|file| file.is_file())
        .context("libfaketime is missing: apt-get install faketime")
}

/// How far the signatures' times are from ours, in seconds.
fn signed_times(house: &House) -> anyhow::Result<Vec<i64>> {
    let now = unix_now()?;
    let mut times = Vec::new();
    for arrival in
        house.sink.arrivals().iter().filter(|arrival| [PATH, OTHER_PATH].contains(&arrival.path.as_str()))
    {
        let text = arrival.headers.get("webhook-timestamp").context("no webhook-timestamp")?.to_str()?;
        times.push(text.parse::<i64>()? - now);
    }
    Ok(times)
}

#[expect(clippy::disallowed_methods, reason = "this clock is what the workers' clocks are compared with")]
fn unix_now() -> anyhow::Result<i64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(i64::try_from(now.as_secs())?)
}
