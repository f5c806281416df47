//! A release under load, and the way back (R12): the schema is migrated beside the old release, each door of the new one starts
//! before one of the old stops, then the old one returns, to the schema of the new. No request fails, nothing is lost.
//!
//! Where no other release was built (`upgrade --from`), the programs are the same and only the schema is another.

use std::time::{Duration, Instant};

use super::traffic::Traffic;
use crate::house::{Door, House, Process, Stopped};
use crate::programs::Programs;
use crate::publisher::{Accepted, Load};
use crate::rotation::Rotation;
use crate::trial::Trial;

/// "no migration holds a lock that blocks writes > 1 s"
const BLOCKED: Duration = Duration::from_secs(1);

/// R5.
const STOPPED: Duration = Duration::from_secs(25);

/// Of each door.
const REPLICAS: usize = 2;

/// How often a door is started until it counts as broken.
const STARTS: usize = 5;

/// What is accepted before, between and after the steps, by the releases that run then.
const EVENTS_BETWEEN: usize = 500;

/// What a release after this one may do to the busiest tables beside this one (migrations/README.md): it expands them, one
/// table a transaction, and waits for no lock for long.
const EXPAND: [&str; 5] = [
    "ALTER TABLE trunkline.events ADD COLUMN of_the_next_release text",
    "ALTER TABLE trunkline.deliveries ADD COLUMN of_the_next_release integer NOT NULL DEFAULT 0",
    "ALTER TABLE trunkline.attempts ADD COLUMN of_the_next_release text",
    "ALTER TABLE trunkline.endpoints ADD COLUMN of_the_next_release text",
    "INSERT INTO trunkline._sqlx_migrations (version, description, success, checksum, execution_time)
     VALUES (99990101000000, 'expand for the next release', true, '', 0)",
];

/// What a migration finds: enough rows that one which reads or writes all of them under its lock shows. Of attempts, which
/// nothing here counts, more than of the rest.
const HISTORY: &str = "
    CREATE TEMP TABLE past AS
    SELECT n, trunkline.uuid_v7(now() - n * interval '1 millisecond') AS event_id FROM generate_series(1, 2000000) AS n;
    INSERT INTO trunkline.attempts
        (lane, tenant_id, event_id, endpoint_id, attempt, started_at, duration_ms, status_code, outcome, url, worker)
    SELECT 0, 'of-the-past', event_id, event_id, 1, now(), 3, 200, 'succeeded', 'https://past.example', 'past' FROM past;
    DELETE FROM past WHERE n > 200000;
    INSERT INTO trunkline.events (lane, tenant_id, event_id, type, payload_sha256, payload_bytes, created_at, routed)
    SELECT 0, 'of-the-past', event_id, 'past', sha256('{}'), 2, now(), true FROM past;
    INSERT INTO trunkline.payloads (lane, tenant_id, event_id, payload)
    SELECT 0, 'of-the-past', event_id, '{}' FROM past;
    INSERT INTO trunkline.deliveries
        (lane, tenant_id, event_id, endpoint_id, status, attempts, cycle_attempts, last_attempt_at, last_status_code,
         created_at, finished_at)
    SELECT 0, 'of-the-past', event_id, event_id, 'DELIVERED', 1, 1, now(), 200, now(), now() FROM past;";

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
    let new = trial.programs.clone();
    let old = new.previous().unwrap_or_else(|| new.clone());
    let mut house = House::furnished(&trial.folder, &old, REPLICAS, REPLICAS).await?;
    if new.previous().is_some() {
        house.database.execute(HISTORY).await?;
    }
    let mut apis = prepare(&mut house, Door::Api, &new)?;
    let mut workers = prepare(&mut house, Door::Worker, &new)?;
    let of_both = house.apis.iter().chain(&apis);
    let replicas = of_both.map(|api| (api.role.port, api.role.admin_port)).collect();
    // Without keys a request that fails is not repeated, and shows.
    let load = Load { keyed_of_three: 0, ..trial.load() };
    let traffic = Traffic::to_sink_by(trial, &house, load, Rotation::balanced(replicas).await).await?;
    traffic.until_accepted_more(EVENTS_BETWEEN).await?;

    let migrating = Instant::now();
    match new.previous() {
        Some(_) => house.migrate_by(&new).await?,
        None => {
            for statement in EXPAND {
                house.database.execute(&format!("SET LOCAL lock_timeout = '1s'; {statement}")).await?;
            }
        }
    }
    trial.report.note(format!("migrated in {:.2} s", migrating.elapsed().as_secs_f64()));
    traffic.until_accepted_more(EVENTS_BETWEEN).await?;
    let slowest = slowest_since(&traffic.figures().accepted, migrating);
    trial.report.within("slowest answer around the migration", slowest, BLOCKED);

    let mut stops = Vec::new();
    for (from, to) in house.apis.iter_mut().zip(&mut apis).chain(house.workers.iter_mut().zip(&mut workers)) {
        stops.push(replace(from, to).await?);
    }
    // Whoever accepts now is of the new release.
    traffic.until_accepted_more(EVENTS_BETWEEN).await?;
    for (from, to) in apis.iter_mut().zip(&mut house.apis).chain(workers.iter_mut().zip(&mut house.workers)) {
        stops.push(replace(from, to).await?);
    }

    let unclean = stops.iter().filter(|stopped| stopped.code != Some(0)).count() as u64;
    trial.report.exactly("exit codes other than 0", unclean, 0);
    let slowest = stops.iter().map(|stopped| stopped.took).max().unwrap_or_default();
    trial.report.within("slowest stop", slowest, STOPPED);
    traffic.until_enough().await?;
    let figures = traffic.settle(trial, &house, 0).await?;
    trial.report.exactly("failed requests", figures.other_than(&[]), 0);
    house.close().await
}

/// As many of a door as run, of another release; not started yet.
fn prepare(house: &mut House, door: Door, programs: &Programs) -> anyhow::Result<Vec<Process>> {
    let one = |number| {
        house.prepare(door, |role| {
            role.name = format!("{}-of-new-release-{number}", role.name);
            role.log = role.log.with_file_name(format!("{}.log", role.name));
            role.program = programs.path(&role.program.file_name().unwrap_or_default().to_string_lossy());
        })
    };
    (1..=REPLICAS).map(one).collect()
}

/// As a Deployment with `maxUnavailable: 0` does it: one that cannot start, because the database is slow just now, is started again,
/// and nothing stops before another is ready.
async fn replace(from: &mut Process, to: &mut Process) -> anyhow::Result<Stopped> {
    for _ in 1..STARTS {
        if to.start_ready().await.is_ok() {
            return from.stop().await;
        }
        to.kill().await?;
    }
    to.start_ready().await?;
    from.stop().await
}

fn slowest_since(accepted: &[Accepted], since: Instant) -> Duration {
    let asked_since = accepted.iter().filter(|one| one.answered >= since);
    asked_since.map(|one| one.answered - one.asked).max().unwrap_or_default()
}
