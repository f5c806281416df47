//! A worker is killed with attempts in flight, or while its claim runs: in the middle of the statement, or when the claim
//! is committed and the worker does not know yet. Another one retakes its work.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::house::{Door, House, Role, execute, free_port};
use crate::proxy::{Proxy, Weather};
use crate::publisher::{Load, Publisher};
use crate::sink::Behaviour;
use crate::trial::Trial;
use crate::verdict::Came;

const PATH: &str = "/waiting";
const EVENTS: u64 = 100;
const IN_FLIGHT: usize = 20;

/// R3: "killed worker: its work is retaken in <= 5 s".
const RETAKEN: Duration = Duration::from_secs(5);

/// A statement that claims shows one of these in `pg_stat_activity`.
const CLAIM_WAITS: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND query LIKE '%SKIP LOCKED%' AND pid <> pg_backend_pid()";

const CLAIM_ENDED: &str = "SELECT (count(*) = 0)::integer FROM pg_stat_activity
    WHERE state = 'active' AND query LIKE '%SKIP LOCKED%' AND pid <> pg_backend_pid()";

const CLAIMED: &str = "SELECT count(*) FROM trunkline.deliveries WHERE lease IS NOT NULL";

/// Long enough to be killed in, short enough to find a way through the time limits of a pool.
const ANSWER_DELAY: Duration = Duration::from_millis(150);

/// Far beyond [`RETAKEN`]: the work of a killed worker must not wait for its lease to run out.
fn long_lease(role: &mut Role) {
    role.set("TRUNKLINE__WORKER__LEASE", "20s");
}

pub(super) async fn with_attempts_in_flight(trial: &mut Trial) -> anyhow::Result<()> {
    let mut house = House::furnished(&trial.folder, &trial.programs, 1, 0).await?;
    kill_one_for_another(trial, &mut house).await?;
    house.close().await
}

/// In a house with an api and no worker: of two that it starts, the first is killed.
pub(super) async fn kill_one_for_another(trial: &mut Trial, house: &mut House) -> anyhow::Result<()> {
    house.sink.behave(PATH, Behaviour::Hang);
    let waiting = Waiting::publish(trial, house).await?;
    house.start(Door::Worker, long_lease).await?;
    house.sink.until_open(PATH, IN_FLIGHT).await?;
    house.workers[0].freeze()?;
    let in_flight = house.database.claimed().await?;
    house.workers[0].kill().await?;
    house.sink.behave(PATH, Behaviour::default());
    let since = Instant::now();
    house.start(Door::Worker, long_lease).await?;
    waiting.until_retaken(trial, house, since, in_flight).await
}

pub(super) async fn in_its_claim(trial: &mut Trial) -> anyhow::Result<()> {
    let mut house = House::furnished(&trial.folder, &trial.programs, 1, 0).await?;
    let mut killed = house.prepare(Door::Worker, long_lease)?;
    killed.start_ready().await?;
    // It has claimed before, so that what waits for the lock is the statement itself, not its preparation.
    warm_up(trial, &house).await?;
    killed.freeze()?;
    let waiting = Waiting::publish(trial, &house).await?;
    let mut holder = house.database.connect().await?;
    execute(&mut holder, "BEGIN; LOCK TABLE trunkline.deliveries IN EXCLUSIVE MODE").await?;
    killed.thaw()?;
    until(&house, CLAIM_WAITS, "no claim runs into the lock").await?;
    killed.kill().await?;
    // Within the second in which PostgreSQL has not noticed that its client is gone: a claim whose rows fit a buffer commits,
    // for nobody; a larger one fails on the way to its client.
    execute(&mut holder, "COMMIT").await?;
    let since = Instant::now();
    until(&house, CLAIM_ENDED, "the claim of the dead does not end").await?;
    let in_flight = house.database.claimed().await?;
    house.start(Door::Worker, long_lease).await?;
    waiting.until_retaken(trial, &house, since, in_flight).await?;
    house.close().await
}

pub(super) async fn before_it_knows(trial: &mut Trial) -> anyhow::Result<()> {
    let mut house = House::furnished(&trial.folder, &trial.programs, 1, 0).await?;
    let proxy = Proxy::listen(free_port()?, house.server.port()?).await?;
    let database = house.database.clone();
    let mut killed = house.prepare(Door::Worker, |role| {
        long_lease(role);
        role.reach_database_at(&database, proxy.port());
    })?;
    killed.start_ready().await?;
    warm_up(trial, &house).await?;
    // From here on it learns late what was committed for it, and is killed in between.
    proxy.turn(Weather::Slow(ANSWER_DELAY));
    let waiting = Waiting::publish(trial, &house).await?;
    until(&house, CLAIMED, "nothing was claimed").await?;
    killed.kill().await?;
    let since = Instant::now();
    let in_flight = house.database.claimed().await?;
    trial.report.at_least("claimed by the dead", in_flight, 1);
    house.start(Door::Worker, long_lease).await?;
    waiting.until_retaken(trial, &house, since, in_flight).await?;
    house.close().await
}

/// A first event, delivered.
async fn warm_up(trial: &Trial, house: &House) -> anyhow::Result<()> {
    let tenant = house.tenant("first", "/first").await?;
    let load = Load { rate: 0, events_max: 1, ..Load::default() };
    let ledger = trial.ledger("first")?;
    Publisher::start(house.apis_in_turn(), &tenant.api_key, ledger, load).finish().await?;
    let delivered = "SELECT count(*) FROM trunkline.deliveries WHERE status = 'DELIVERED'";
    until(house, delivered, "nothing is delivered at all").await
}

/// Events that wait for a worker.
struct Waiting {
    ledger: crate::ledger::Ledger,
    padding: usize,
}

impl Waiting {
    async fn publish(trial: &Trial, house: &House) -> anyhow::Result<Self> {
        let tenant = house.tenant("waiting", PATH).await?;
        let ledger = trial.ledger("waiting")?;
        let load = Load { rate: 0, events_max: EVENTS, ..Load::default() };
        let padding = load.padding;
        Publisher::start(house.apis_in_turn(), &tenant.api_key, ledger.clone(), load).finish().await?;
        Ok(Self { ledger, padding })
    }

    async fn until_retaken(
        self,
        trial: &mut Trial,
        house: &House,
        since: Instant,
        in_flight: u64,
    ) -> anyhow::Result<()> {
        trial.until_drained(house, since).await?;
        trial.report.within("retaken and delivered", since.elapsed(), RETAKEN);
        let came = Came::at_sink(&house.sink.arrivals(), PATH, self.padding);
        trial.judge("waiting", &self.ledger.entries(), &came, in_flight);
        trial.report.exactly("attempts that do not add up", house.database.miscounted().await?, 0);
        Ok(())
    }
}

async fn until(house: &House, sql: &str, otherwise: &str) -> anyhow::Result<()> {
    let since = Instant::now();
    while house.database.number(sql).await? == 0 {
        ensure!(since.elapsed() < Duration::from_secs(20), "{otherwise}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
