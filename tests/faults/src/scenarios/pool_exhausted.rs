//! No connection is to be had: PostgreSQL has given all it has to others, or each of a door's own hangs in a lock. The
//! publisher is told to come back, soon; when there are connections again, so is the service.

use std::time::{Duration, Instant};

use anyhow::ensure;
use sqlx::PgConnection;

use super::traffic::Traffic;
use crate::house::{Door, House, execute};
use crate::trial::Trial;

/// Few enough to be taken all.
const CONNECTIONS: &str = "40";
const TAKEN_FOR: Duration = Duration::from_secs(5);

/// "ingest and point reads never hang longer than about a second".
const LONGEST_ANSWER: Duration = Duration::from_secs(2);

/// As when PostgreSQL was restarted.
const SERVING_AGAIN: Duration = Duration::from_secs(5);

/// Ends the doors' connections, so that they have to ask for new ones.
const TURN_OUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
     WHERE backend_type = 'client backend' AND application_name <> 'trunkline-faults'";

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
    let mut house = House::open(&trial.folder, &trial.programs, &[("max_connections", CONNECTIONS)]).await?;
    for _ in 0..2 {
        house.start(Door::Api, |_| {}).await?;
        house.start(Door::Worker, |_| {}).await?;
    }
    let traffic = Traffic::to_sink(trial, &house, trial.load()).await?;
    trial.wait_about(Duration::from_secs(2)).await;

    let in_flight = house.freeze_and_count().await?;
    for api in &house.apis {
        api.freeze()?;
    }
    let held = take_all(&house).await?;
    for api in &house.apis {
        api.thaw()?;
    }
    house.thaw()?;
    trial.report.note(format!("{} connections taken", held.len()));
    tokio::time::sleep(TAKEN_FOR).await;
    drop(held);
    let mut slowest = traffic.until_accepted_again().await?;

    trial.wait_about(Duration::from_secs(2)).await;
    let mut holder = house.database.connect().await?;
    execute(&mut holder, "BEGIN; LOCK TABLE trunkline.events, trunkline.deliveries IN ACCESS EXCLUSIVE MODE")
        .await?;
    tokio::time::sleep(TAKEN_FOR).await;
    execute(&mut holder, "COMMIT").await?;
    slowest = slowest.max(traffic.until_accepted_again().await?);

    trial.report.within("accepting again", slowest, SERVING_AGAIN);
    traffic.until_enough().await?;
    let sent_again = in_flight + 2 * house.unrecorded_max(TAKEN_FOR);
    let figures = traffic.settle(trial, &house, sent_again).await?;
    // 409: a repeated key whose first request still hangs in the lock.
    trial.report.exactly("answers other than 201, 409, 429, 503", figures.other_than(&[409, 429, 503]), 0);
    trial.report.exactly("429 and 503 without Retry-After", figures.without_retry_after, 0);
    let refused = figures.statuses.get(&503).copied().unwrap_or(0);
    trial.report.at_least("answers 503", refused, 1);
    let longest = figures.accepted.iter().map(|one| one.answered - one.asked).max().unwrap_or_default();
    trial.report.within("longest wait for 201", longest, LONGEST_ANSWER);
    house.close().await
}

/// Takes every connection; the doors are frozen, and cannot ask for those they lose.
async fn take_all(house: &House) -> anyhow::Result<Vec<PgConnection>> {
    let mut held = vec![house.database.connect().await?];
    let since = Instant::now();
    let count = CONNECTIONS.parse::<usize>()?;
    while held.len() < count {
        ensure!(since.elapsed() < Duration::from_secs(30), "only {} connections can be taken", held.len());
        execute(&mut held[0], TURN_OUT).await?;
        while let Ok(connection) = house.database.connect().await {
            held.push(connection);
        }
    }
    Ok(held)
}
