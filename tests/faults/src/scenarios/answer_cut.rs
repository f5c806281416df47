//! The connection is cut between COMMIT and its answer: between PostgreSQL and api, and between api and publisher. The
//! publisher repeats with its Idempotency-Key, and there is one event.

use super::traffic::Traffic;
use crate::house::{Door, House, free_port};
use crate::proxy::{Proxy, Weather};
use crate::publisher::Load;
use crate::rotation::Rotation;
use crate::trial::Trial;

/// Of so many answers one is lost. An answer of PostgreSQL speaks for many events at once.
const DATABASE_LOSES: Weather = Weather::LosesAnswers { one_in: 40 };
const API_LOSES: Weather = Weather::LosesAnswers { one_in: 25 };

/// So many keys must have been found used already: proof that commits lost their answers.
const REPLAYED_MIN: u64 = 100;

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
    let mut house = House::open(&trial.folder, &trial.programs, &[]).await?;
    let to_database = Proxy::listen(free_port()?, house.server.port()?).await?;
    let mut to_apis = Vec::new();
    for _ in 0..2 {
        let database = house.database.clone();
        house.start(Door::Api, |role| role.reach_database_at(&database, to_database.port())).await?;
    }
    for api in &house.apis {
        to_apis.push(Proxy::listen(free_port()?, api.role.port).await?);
    }
    house.start(Door::Worker, |_| {}).await?;
    let rotation = Rotation::fixed(to_apis.iter().map(Proxy::port).collect());
    let load = Load { publishers: 64, keyed_of_three: 3, ..trial.load() };
    let traffic = Traffic::to_sink_by(trial, &house, load, rotation).await?;
    to_database.turn(DATABASE_LOSES);
    to_apis.iter().for_each(|proxy| proxy.turn(API_LOSES));
    traffic.until_enough().await?;
    to_database.turn(Weather::Fair);
    to_apis.iter().for_each(|proxy| proxy.turn(Weather::Fair));
    let figures = traffic.settle(trial, &house, 0).await?;
    trial.report.at_least("keys found used", figures.replayed, REPLAYED_MIN);
    let stored = house.database.number("SELECT count(*) FROM trunkline.events").await?;
    let keys = house.database.number("SELECT count(DISTINCT key) FROM trunkline.idempotency_keys").await?;
    trial.report.exactly("events stored for as many keys", stored, keys);
    let lost: u64 = to_apis.iter().map(Proxy::lost).sum();
    trial.report.note(format!("answers lost: {} of PostgreSQL, {lost} of the api", to_database.lost()));
    house.close().await
}
