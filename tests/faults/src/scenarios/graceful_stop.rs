//! SIGTERM under load, door by door, as a rolling release does it (R5): exit 0 in time, nothing twice, no request fails.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::traffic::Traffic;
use crate::house::{Door, House, Role, free_port};
use crate::proxy::{Proxy, Weather};
use crate::publisher::{Load, Publisher};
use crate::rotation::Rotation;
use crate::sink::Behaviour;
use crate::trial::Trial;

/// R5.
const STOPPED: Duration = Duration::from_secs(25);

/// What a worker gets whose attempts last: they end within its drain.
const LASTING: [(&str, &str); 3] = [
    ("TRUNKLINE__DELIVERY__TIMEOUT", "5s"),
    ("TRUNKLINE__WORKER__LEASE", "10s"),
    ("TRUNKLINE__WORKER__DRAIN", "7s"),
];

/// Its drain, two seconds for what is left, and one to go.
const LASTING_STOPPED: Duration = Duration::from_secs(10);

/// Attempts at each of two endpoints that are under way at the stop.
const UNDER_WAY: u64 = 5;

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
    let rounds = trial.pick(2, 8);
    let mut house = House::furnished(&trial.folder, &trial.programs, 2, 2).await?;
    let replicas = house.apis.iter().map(|api| (api.role.port, api.role.admin_port)).collect();
    // Without keys a request that fails is not repeated, and shows.
    let load = Load { keyed_of_three: 0, ..trial.load() };
    let traffic = Traffic::to_sink_by(trial, &house, load, Rotation::balanced(replicas).await).await?;
    let (mut slowest, mut unclean) = (Duration::ZERO, 0);
    for _ in 0..rounds {
        for index in 0..2 {
            trial.wait_about(Duration::from_secs(1)).await;
            for process in [&mut house.apis[index], &mut house.workers[index]] {
                let stopped = process.stop().await?;
                slowest = slowest.max(stopped.took);
                unclean += u64::from(stopped.code != Some(0));
                process.start_ready().await?;
            }
        }
    }
    trial.report.note(format!("{} stops", rounds * 4));
    trial.report.within("slowest stop", slowest, STOPPED);
    trial.report.exactly("exit codes other than 0", unclean, 0);
    traffic.until_enough().await?;
    let figures = traffic.settle(trial, &house, 0).await?;
    trial.report.exactly("failed requests", figures.other_than(&[]), 0);
    let abandoned = "SELECT count(*) FROM trunkline.attempts WHERE outcome = 'abandoned'";
    trial.report.exactly("abandoned attempts", house.database.number(abandoned).await?, 0);
    while_attempts_last(trial, &mut house).await?;
    house.close().await
}

/// What takes seconds is waited for, what hangs until its time is over, and a database that says nothing holds nobody up.
async fn while_attempts_last(trial: &mut Trial, house: &mut House) -> anyhow::Result<()> {
    for worker in &mut house.workers {
        worker.stop().await?;
    }
    let proxy = Proxy::listen(free_port()?, house.server.port()?).await?;
    let database = house.database.clone();
    let lasting = |role: &mut Role| {
        for (name, value) in LASTING {
            role.set(name, value);
        }
        role.reach_database_at(&database, proxy.port());
    };
    house.start(Door::Worker, lasting).await?;
    house.sink.behave("/slow", Behaviour::Good(Duration::from_secs(3)));
    house.sink.behave("/hanging", Behaviour::Hang);
    let load = Load { rate: 0, publishers: 1, events_max: UNDER_WAY, ..Load::default() };
    for name in ["slow", "hanging"] {
        let tenant = house.tenant(name, &format!("/{name}")).await?;
        let ledger = trial.ledger(name)?;
        Publisher::start(house.apis_in_turn(), &tenant.api_key, ledger, load.clone()).finish().await?;
        until_arrived(house, &format!("/{name}")).await?;
    }
    let stopped = stop_while_hanging(house, UNDER_WAY as usize, || {}).await?;
    trial.report.within("stop with attempts that last", stopped, LASTING_STOPPED);
    let ended = "SELECT count(*) FROM trunkline.deliveries AS d JOIN trunkline.attempts AS a USING (event_id, endpoint_id)
                 WHERE d.attempts = 1 AND (d.tenant_id, a.outcome) IN (('slow', 'succeeded'), ('hanging', 'timeout'))";
    trial.report.exactly("attempts told", house.database.number(ended).await?, 2 * UNDER_WAY);

    let worker = house.workers.len() - 1;
    house.workers[worker].start_ready().await?;
    // Of what failed before, one at a time is tried.
    let stopped = stop_while_hanging(house, 1, || proxy.turn(Weather::Silent)).await?;
    trial.report.within("stop with the database silent", stopped, LASTING_STOPPED);
    Ok(())
}

async fn until_arrived(house: &House, path: &str) -> anyhow::Result<()> {
    let since = Instant::now();
    while (house.sink.arrivals().iter().filter(|one| one.path == path).count() as u64) < UNDER_WAY {
        ensure!(since.elapsed() < Duration::from_secs(20), "{path} is not called");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Stops the last worker while so many attempts at the endpoint that hangs are under way.
async fn stop_while_hanging(
    house: &mut House,
    under_way: usize,
    before: impl FnOnce(),
) -> anyhow::Result<Duration> {
    house.sink.until_open("/hanging", under_way).await?;
    before();
    let worker = house.workers.len() - 1;
    let stopped = house.workers[worker].stop().await?;
    ensure!(stopped.code == Some(0), "it ended with {:?}", stopped.code);
    Ok(stopped.took)
}
