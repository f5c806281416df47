//! The server is lost for good, and its synchronous standby takes over at the address that the doors know. What was acknowledged
//! is there, since no commit is acknowledged before the standby has it.

use std::time::Duration;

use super::traffic::Traffic;
use crate::house::{Database, Door, House, free_port, standby};
use crate::proxy::{Proxy, Weather};
use crate::trial::Trial;

/// R3, from the promotion.
const SERVING_AGAIN: Duration = Duration::from_secs(5);

/// Until whoever watches over the servers has decided.
const UNDECIDED: Duration = Duration::from_secs(3);

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
    let mut house = House::open(&trial.folder, &trial.programs, &[]).await?;
    let follower = standby::follow(&house.server, &trial.folder.join("standby")).await?;
    let address = Proxy::listen(free_port()?, house.server.port()?).await?;
    for _ in 0..2 {
        let database = house.database.clone();
        house.start(Door::Api, |role| role.reach_database_at(&database, address.port())).await?;
        house.start(Door::Worker, |role| role.reach_database_at(&database, address.port())).await?;
    }
    let traffic = Traffic::to_sink(trial, &house, trial.load()).await?;
    trial.wait_about(Duration::from_secs(4)).await;

    let in_flight = house.freeze_and_count().await?;
    house.server.kill_everything().await?;
    house.thaw()?;
    tokio::time::sleep(UNDECIDED).await;
    address.turn(Weather::Reset);
    let took = standby::promote(&follower).await?;
    trial.report.note(format!("promoted in {took:.1?}"));
    house.database = Database::new(follower.url());
    house.server = follower;
    address.lead_to(house.server.port()?);
    address.turn(Weather::Fair);

    let served = traffic.until_accepted_again().await?;
    trial.report.within("accepting again", served, SERVING_AGAIN);
    traffic.until_enough().await?;
    // What was in flight is known to the new server only as far as its claims had come there, which nothing waits for.
    let sent_again = in_flight + house.unrecorded_max(UNDECIDED);
    let figures = traffic.settle(trial, &house, sent_again).await?;
    trial.report.exactly("answers other than 201, 429, 503", figures.other_than(&[429, 503]), 0);
    house.close().await
}
