//! Twenty endpoints of one tenant, which have always answered well, hang all at once, with large payloads waiting: the tenant
//! may fill no more of a worker than leaves room for the others.

use std::time::Duration;

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

/// To each endpoint when it hangs.
const BACKLOG: u64 = 60;
const PADDING: usize = 64 * 1024;

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
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
    let load = Load { rate: 0, events_max: WELL, ..Load::default() };
    Publisher::start(house.apis_in_turn(), &tenant.api_key, ledger, load).finish().await?;
    house.sink.until_count(PATH, ENDPOINTS * WELL as usize).await?;

    let neighbours = Neighbours::start(trial, house).await?;
    neighbours.watch(house, Duration::from_secs(2)).await;
    let before = neighbours.watch(house, window).await;
    house.sink.behave(PATH, Behaviour::Hang);
    let (client, port) = (Client::new(), house.apis[0].role.port);
    for number in 0..BACKLOG {
        let reply = client.post(port, "/v1/events", &tenant.api_key, &[], payload(number, PADDING)).await?;
        ensure!(reply.status == 201, "publishing: {}", reply.status);
    }
    let now = neighbours.watch(house, window).await;
    let (_, most) = house.sink.open(PATH);
    trial.report.at_least("attempts that hung at one time", most as u64, 256);
    trial.report.at_most("attempts hanging at one time", most as u64, 342);
    Neighbours::compare(trial, before, now);
    neighbours.settle(trial, house, 0).await?;
    house.close().await
}

async fn add_endpoint(house: &House, tenant: &Tenant, index: usize) -> anyhow::Result<()> {
    let body = serde_json::json!({ "name": format!("hanging-{index}"), "url": house.sink.url(PATH) });
    let port = house.apis[0].role.port;
    let reply = Client::new().post(port, "/v1/endpoints", &tenant.api_key, &[], body.to_string()).await?;
    ensure!(reply.status == 201, "creating an endpoint: {}", String::from_utf8_lossy(&reply.body));
    Ok(())
}
