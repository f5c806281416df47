//! 1,000 dead endpoints of every kind beside good ones: refused, unresolvable, black holes, TLS that is none.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::ensure;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::net::TcpListener;

use super::neighbours::Neighbours;
use crate::hostile::{self, Manner};
use crate::house::{House, Tenant, free_port};
use crate::http_client::Client;
use crate::publisher::payload;
use crate::trial::Trial;

const ENDPOINTS: usize = 1_000;
const EVENTS_EACH: u64 = 3;
const PADDING: usize = 200 * 1024;

const KINDS: [&str; 4] = ["refused", "unresolvable", "black hole", "TLS that is none"];

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
    let window = Duration::from_secs(trial.pick(8, 30));
    let house = &mut House::open(&trial.folder, &trial.programs, &[]).await?;
    house.start(crate::house::Door::Api, |_| {}).await?;
    for _ in 0..2 {
        // As it is by default: a dead endpoint is asked again after 5 s, then after 5 minutes.
        let patient =
            |role: &mut crate::house::Role| role.set("TRUNKLINE__DELIVERY__RETRY_SCHEDULE", "5s,5m");
        house.start(crate::house::Door::Worker, patient).await?;
    }
    let black_hole = BlackHole::open().await?;
    let garbage = hostile::listen(Manner::Garbage).await?;
    let refused = free_port()?;
    let addresses = [
        format!("http://127.0.0.1:{refused}/dead-"),
        "http://dead-".to_owned(),
        format!("http://127.0.0.1:{}/dead-", black_hole.port),
        format!("https://127.0.0.1:{garbage}/dead-"),
    ];
    let url = |index: usize| match (&addresses[index % KINDS.len()], KINDS[index % KINDS.len()]) {
        (address, "unresolvable") => format!("{address}{index}.invalid/"),
        (address, _) => format!("{address}{index}"),
    };
    let mut tenants = Vec::new();
    for index in 0..ENDPOINTS {
        tenants.push(house.tenant_at(&format!("dead-{index}"), &url(index)).await?);
    }
    let neighbours = Neighbours::start(trial, house).await?;
    neighbours.watch(house, Duration::from_secs(2)).await;
    let before = neighbours.watch(house, window).await;
    publish(house, &tenants).await?;
    let now = neighbours.watch(house, window).await;
    for (kind, address) in KINDS.iter().zip(&addresses) {
        let failed = format!(
            "SELECT count(DISTINCT endpoint_id) FROM trunkline.attempts
             WHERE url LIKE '{address}%' AND outcome NOT IN ('succeeded', 'internal_error', 'abandoned')"
        );
        let endpoints = house.database.number(&failed).await?;
        trial.report.exactly(&format!("{kind}, failure told"), endpoints, (ENDPOINTS / KINDS.len()) as u64);
    }
    Neighbours::compare(trial, before, now);
    neighbours.settle(trial, house, 0).await?;
    house.close().await
}

async fn publish(house: &House, tenants: &[Tenant]) -> anyhow::Result<()> {
    let (client, port) = (Client::new(), house.apis[0].role.port);
    let all = tenants.iter().flat_map(|tenant| (0..EVENTS_EACH).map(move |number| (tenant, number)));
    stream::iter(all)
        .map(Ok)
        .try_for_each_concurrent(16, |(tenant, number)| {
            let client = client.clone();
            async move {
                // One large payload each: they may not fill the workers' memory either.
                let padding = if number == 0 { PADDING } else { 0 };
                let body = payload(number, padding);
                let reply = client.post(port, "/v1/events", &tenant.api_key, &[], body).await?;
                ensure!(reply.status == 201, "publishing for {}: {}", tenant.tenant_id, reply.status);
                Ok(())
            }
        })
        .await
}

/// A port where connecting gets no answer at all: the system drops what comes when a listener's queue is full.
struct BlackHole {
    port: u16,
    _listener: TcpListener,
    _queued: Vec<tokio::task::JoinHandle<()>>,
}

impl BlackHole {
    async fn open() -> anyhow::Result<Self> {
        let port = free_port()?;
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
        let listener = socket.listen(1)?;
        let connect = || tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        let mut queued = Vec::new();
        for _ in 0..4 {
            queued.push(tokio::spawn(async move {
                let held = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
                std::future::pending::<()>().await;
                drop(held);
            }));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let answered = tokio::time::timeout(Duration::from_millis(300), connect()).await;
        ensure!(answered.is_err(), "a black hole cannot be made here: it answers");
        Ok(Self { port, _listener: listener, _queued: queued })
    }
}
