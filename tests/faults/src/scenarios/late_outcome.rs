//! Outcomes that come to be written when their lease is long over and somebody else did the work: because the worker was
//! stopped (SIGSTOP) for three leases, or because the network sat on its statement. They change nothing.

use std::time::{Duration, Instant};

use crate::house::{Door, House, LEASE, Role, free_port};
use crate::proxy::{Proxy, Weather};
use crate::publisher::{Load, Publisher};
use crate::sink::Behaviour;
use crate::trial::Trial;

const PATH: &str = "/hook";
const EVENTS: u64 = 100;
/// Attempts in flight when the worker is frozen.
const IN_FLIGHT: usize = 20;

/// R3: "frozen or cut off: <= lease + 2 s".
const RETAKEN: Duration = LEASE.saturating_add(Duration::from_secs(2));

/// What must not change any more: rows of deliveries and attempts, as one hash.
const HISTORY: &str = "SELECT md5(string_agg(d::text, '' ORDER BY d.event_id)) || (
        SELECT md5(string_agg(a::text, '' ORDER BY a.event_id, a.attempt)) FROM trunkline.attempts AS a)
    FROM trunkline.deliveries AS d";

/// How long a worker takes at most from an answer to the statement that records it.
const RECORDS_WITHIN: Duration = Duration::from_millis(500);

pub(super) async fn of_frozen_worker(trial: &mut Trial) -> anyhow::Result<()> {
    let mut house = House::furnished(&trial.folder, &trial.programs, 1, 0).await?;
    house.sink.behave(PATH, Behaviour::Hang);
    let tenant = house.tenant("publisher", PATH).await?;
    let ledger = trial.ledger("publisher")?;
    let load = Load { rate: 0, events_max: EVENTS, ..Load::default() };
    Publisher::start(house.apis_in_turn(), &tenant.api_key, ledger, load.clone()).finish().await?;
    // Everything waits for it: an endpoint that hangs is soon only probed, so all must be under way at once.
    house.start(Door::Worker, patient).await?;
    house.sink.until_open(PATH, IN_FLIGHT).await?;

    house.workers[0].freeze()?;
    let frozen = Instant::now();
    let claimed = house.database.claimed().await?;
    let in_flight = house.sink.open(PATH).0;
    trial.report.at_least("attempts in flight", in_flight as u64, IN_FLIGHT as u64);
    house.sink.behave(PATH, Behaviour::default());
    house.start(Door::Worker, |_| {}).await?;
    trial.until_drained(&house, frozen).await?;
    trial.report.within("retaken and delivered", frozen.elapsed(), RETAKEN);
    let abandoned = "SELECT count(*) FROM trunkline.attempts WHERE outcome = 'abandoned'";
    trial.report.exactly("abandoned attempts told", house.database.number(abandoned).await?, claimed);

    tokio::time::sleep((3 * LEASE).saturating_sub(frozen.elapsed())).await;
    let before = house.database.rows(HISTORY).await?;
    house.workers[0].thaw()?;
    let refused = until_refused(&house, claimed).await?;
    trial.report.at_least("late outcomes refused", refused, 1);
    let changed = u64::from(house.database.rows(HISTORY).await? != before);
    trial.report.exactly("late writes that changed history", changed, 0);

    // Alone, it must do all the work.
    house.workers[1].stop().await?;
    let thawed = Instant::now();
    let more = Load { events_max: EVENTS, rate: 0, ..load };
    let ledger = trial.ledger("publisher-again")?;
    let tenant = house.tenant("publisher-again", "/again").await?;
    Publisher::start(house.apis_in_turn(), &tenant.api_key, ledger, more).finish().await?;
    trial.until_drained(&house, thawed).await?;
    trial.report.at_least("delivered by it afterwards", house.sink.count("/again") as u64, EVENTS);
    trial.report.exactly("attempts that do not add up", house.database.miscounted().await?, 0);
    house.close().await
}

pub(super) async fn held_by_network(trial: &mut Trial) -> anyhow::Result<()> {
    let mut house = House::furnished(&trial.folder, &trial.programs, 1, 0).await?;
    let proxy = Proxy::listen(free_port()?, house.server.port()?).await?;
    let database = house.database.clone();
    house.sink.behave(PATH, Behaviour::Hang);
    let tenant = house.tenant("publisher", PATH).await?;
    let ledger = trial.ledger("publisher")?;
    let load = Load { rate: 0, events_max: EVENTS, ..Load::default() };
    Publisher::start(house.apis_in_turn(), &tenant.api_key, ledger, load).finish().await?;
    let through_proxy = |role: &mut Role| {
        patient(role);
        role.reach_database_at(&database, proxy.port());
    };
    house.start(Door::Worker, through_proxy).await?;
    house.sink.until_open(PATH, IN_FLIGHT).await?;

    proxy.turn(Weather::Silent);
    let cut = Instant::now();
    let claimed = house.database.claimed().await?;
    // Failures: written late, they would make a delivery due again that somebody else has brought to its end.
    house.sink.behave(PATH, Behaviour::Status(500));
    tokio::time::sleep(RECORDS_WITHIN).await;
    house.sink.behave(PATH, Behaviour::default());
    house.start(Door::Worker, |_| {}).await?;
    trial.until_drained(&house, cut).await?;
    trial.report.within("retaken and delivered", cut.elapsed(), RETAKEN);

    let before = house.database.rows(HISTORY).await?;
    proxy.turn(Weather::Fair);
    let refused = until_refused(&house, claimed).await?;
    trial.report.at_least("late outcomes refused", refused, 1);
    let changed = u64::from(house.database.rows(HISTORY).await? != before);
    trial.report.exactly("late writes that changed history", changed, 0);
    trial.report.exactly("attempts that do not add up", house.database.miscounted().await?, 0);
    house.close().await
}

/// As much time for an attempt as its lease allows.
fn patient(role: &mut Role) {
    role.set("TRUNKLINE__DELIVERY__TIMEOUT", "2s");
}

/// Waits until the worker has tried to record what it was holding, or for as long as a poll and a retry may take.
async fn until_refused(house: &House, claimed: u64) -> anyhow::Result<u64> {
    let since = Instant::now();
    loop {
        let refused =
            house.workers[0].metric("trunkline_worker_leases_lost_total").await.unwrap_or(0.0) as u64;
        if refused >= claimed || since.elapsed() > Duration::from_secs(5) {
            return Ok(refused);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
