//! Twenty endpoints of one tenant hang all at once, with large payloads waiting: the tenant may fill no more of a worker, nor of the half
//! that endpoints have of which nothing is known, than leaves room for the others.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::neighbours::Neighbours;
use crate::house::{Door, House, Tenant};
use crate::http_client::Client;
use crate::publisher::{Load, Publisher, payload};
use crate::sink::Behaviour;
use crate::trial::Trial;

const PATH: &str = "/hanging";

/// With 32 attempts each they could fill a worker's 512.
const ENDPOINTS: usize = 20;

/// To each endpoint while all is well: from then on it is taken for one that works.
const WELL: u64 = 3;

/// What a tenant waits for its very first delivery, which begins with nothing known of its endpoint either.
const FIRST_WITHIN: Duration = Duration::from_secs(2);

/// To each endpoint when it hangs.
const BACKLOG: u64 = 60;
const PADDING: usize = 64 * 1024;

/// Endpoints that have always answered well. They may hold two thirds of 512.
pub(super) async fn known(trial: &mut Trial) -> anyhow::Result<()> {
    run(trial, WELL, 256, 342).await
}

/// Endpoints that were never called before. They may hold two thirds of half of it.
pub(super) async fn unknown(trial: &mut Trial) -> anyhow::Result<()> {
    run(trial, 0, 128, 171).await
}

async fn run(trial: &mut Trial, well: u64, least: usize, most: usize) -> anyhow::Result<()> {
    let window = Duration::from_secs(trial.pick(8, 30));
    let house = &mut House::open(&trial.folder, &trial.programs, &[]).await?;
    house.start(Door::Api, |_| {}).await?;
    // Attempts that hang hang for as long as nearly by default: a whole window, in the short form.
    house
        .start(Door::Worker, |role| {
            role.set("TRUNKLINE__DELIVERY__TIMEOUT", "12s");
            role.set("TRUNKLINE__WORKER__LEASE", "20s");
            role.set("TRUNKLINE__WORKER__DRAIN", "15s");
        })
        .await?;
    let tenant = house.tenant("hanging", PATH).await?;
    for index in 1..ENDPOINTS {
        add_endpoint(house, &tenant, index).await?;
    }
    let ledger = trial.ledger("hanging")?;
    if well > 0 {
        let load = Load { rate: 0, events_max: well, ..Load::default() };
        Publisher::start(house.apis_in_turn(), &tenant.api_key, ledger, load).finish().await?;
        house.sink.until_count(PATH, ENDPOINTS * well as usize).await?;
    }

    let neighbours = Neighbours::start(trial, house).await?;
    neighbours.watch(house, Duration::from_secs(2)).await;
    let before = neighbours.watch(house, window).await;
    house.sink.behave(PATH, Behaviour::Hang);
    let (client, port) = (Client::new(), house.apis[0].role.port);
    for number in 0..BACKLOG {
        let reply = client.post(port, "/v1/events", &tenant.api_key, &[], payload(number, PADDING)).await?;
        ensure!(reply.status == 201, "publishing: {}", reply.status);
    }
    house.sink.until_open(PATH, least).await?;
    let first = first_delivery(house).await?;
    let now = neighbours.watch(house, window).await;
    let (_, hung) = house.sink.open(PATH);
    trial.report.at_most("attempts hanging at one time", hung as u64, most as u64);
    trial.report.within("first delivery of a tenant that came meanwhile", first, FIRST_WITHIN);
    Neighbours::compare(trial, before, now);
    neighbours.settle(trial, house, 0).await?;
    house.close().await
}

/// How long a tenant that nobody has heard of waits for its first delivery.
async fn first_delivery(house: &House) -> anyhow::Result<Duration> {
    let tenant = house.tenant("fresh", "/fresh").await?;
    let (port, asked) = (house.apis[0].role.port, Instant::now());
    let reply = Client::new().post(port, "/v1/events", &tenant.api_key, &[], payload(0, 0)).await?;
    ensure!(reply.status == 201, "publishing: {}", reply.status);
    house.sink.until_count("/fresh", 1).await?;
    Ok(asked.elapsed())
}

async fn add_endpoint(house: &House, tenant: &Tenant, index: usize) -> anyhow::Result<()> {
    let body = serde_json::json!({ "name": format!("hanging-{index}"), "url": house.sink.url(PATH) });
    let port = house.apis[0].role.port;
    let reply = Client::new().post(port, "/v1/endpoints", &tenant.api_key, &[], body.to_string()).await?;
    ensure!(reply.status == 201, "creating an endpoint: {}", String::from_utf8_lossy(&reply.body));
    Ok(())
}
