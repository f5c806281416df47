//! What the machine can do at best: every other figure is told as a share of one of these.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::house::{CONNECTIONS, House, PAYLOAD_BYTES, TENANTS};
use crate::load::{self, Body, Order, Pace, Tally, Until};
use crate::process::Process;
use crate::report::{Figures, progress};
use crate::run::Run;
use crate::sink::Sink;

/// Deliveries that the worker's client makes.
const CLIENT_DELIVERIES: u64 = 200_000;

/// As many as a worker has under way: the endpoints' caps together.
const CLIENT_CONCURRENCY: u32 = TENANTS * 32;

/// Rows in one transaction, as many as the api writes at most.
const BATCH: u32 = 500;

/// Connections that write side by side.
const WRITERS: u32 = 4;

/// The best there is, per second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Requests that a handler which only parses answers.
    pub(crate) bare_handler: f64,
    /// Requests that the sink takes straight from the publisher.
    pub(crate) straight: f64,
    /// Deliveries by the worker's own client; `None` where this tree has no such program.
    pub(crate) client: Option<f64>,
    /// Events with payload and delivery written straight into PostgreSQL.
    pub(crate) database: f64,
}

impl Run {
    /// The limits, measured when first asked for.
    pub(crate) fn limits(&self) -> anyhow::Result<Limits> {
        if let Some(limits) = self.limits.get() {
            return Ok(*limits);
        }
        measure(self).map(|(limits, _)| limits)
    }
}

/// Measures all four.
pub(crate) fn measure(run: &Run) -> anyhow::Result<(Limits, Figures)> {
    let mut figures = Figures::new("limits");
    progress("limits: a bare handler");
    let bare = bare_handler(run)?;
    figures.add("bare_handler", bare.accepted_per_second(), "1/s");
    figures.add_waits("bare_handler_answer", &bare.answer);
    progress("limits: load straight into the sink");
    let straight = straight(run)?;
    figures.add("straight_into_sink", straight.accepted_per_second(), "1/s");
    progress("limits: the worker's client");
    let client = client(run)?;
    match &client {
        Some(client) => {
            figures.add("client", client.per_second(), "1/s");
            figures.add("client_cpu_per_delivery", client.cpu_seconds * 1e3 / client.sent as f64, "ms");
        }
        None => figures.note("no client_ceiling: the worker of this tree has no such example"),
    }
    progress("limits: the database");
    let database = database(run)?;
    figures.add("database", database, "1/s");
    let limits = Limits {
        bare_handler: bare.accepted_per_second(),
        straight: straight.accepted_per_second(),
        client: client.map(|client| client.per_second()),
        database,
    };
    let limits = *run.limits.get_or_init(|| limits);
    Ok((limits, figures))
}

fn bare_handler(run: &Run) -> anyhow::Result<Tally> {
    let (bare, port) = Process::start_part("bare", &run.guard)?;
    let tally = load::send(&flat_out(run, port))?;
    bare.stop()?;
    Ok(tally)
}

fn straight(run: &Run) -> anyhow::Result<Tally> {
    let sink = Sink::start(run, 0)?;
    let tally = load::send(&flat_out(run, sink.address().port()))?;
    let arrived = sink.seen()?.arrived;
    ensure!(arrived == tally.sent, "the publisher sent {}, the sink counted {arrived}", tally.sent);
    Ok(tally)
}

/// What a publisher sends, to somebody who needs no key.
fn flat_out(run: &Run, port: u16) -> Order {
    Order {
        targets: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))],
        path: "/v1/events".to_owned(),
        keys: vec!["none".to_owned()],
        body: Body::Event { bytes: PAYLOAD_BYTES },
        connections: CONNECTIONS,
        pace: Pace::AsFastAsAnswered,
        until: Until::Seconds(run.seconds(10.0)),
        warm_up_seconds: run.seconds(2.0),
        ledger: None,
    }
}

/// What `client_ceiling` prints.
#[derive(Deserialize)]
struct Client {
    sent: u64,
    failed: u64,
    seconds: f64,
    cpu_seconds: f64,
}

impl Client {
    fn per_second(&self) -> f64 {
        self.sent as f64 / self.seconds
    }
}

fn client(run: &Run) -> anyhow::Result<Option<Client>> {
    let program = run.programs.client_ceiling();
    if !program.exists() {
        return Ok(None);
    }
    let sink = Sink::start(run, 0)?;
    let mut command = Command::new(program);
    command.args(["--url", &sink.url(0), "--count", &run.count(CLIENT_DELIVERIES).to_string()]);
    command.args(["--concurrency", &CLIENT_CONCURRENCY.to_string()]);
    command.args(["--payload-bytes", &PAYLOAD_BYTES.to_string()]);
    let output = command.stderr(Stdio::inherit()).output().context("running client_ceiling")?;
    ensure!(output.status.success(), "client_ceiling failed");
    let client: Client = serde_json::from_slice(&output.stdout)?;
    ensure!(client.failed == 0, "{} deliveries of client_ceiling failed", client.failed);
    Ok(Some(client))
}

/// Events a second that pgbench writes, each with its payload and one delivery, as durable transactions.
fn database(run: &Run) -> anyhow::Result<f64> {
    let sink = Sink::start(run, 0)?;
    let house = House::start(run, &sink, TENANTS)?;
    let file = run.folder.join("write.sql");
    std::fs::write(&file, write_statement())?;
    let seconds = Duration::from_secs_f64(run.seconds(10.0).max(1.0)).as_secs().to_string();
    let mut command = house.server.client("pgbench")?;
    command
        .args(["-n", "-M", "prepared", "-c", &WRITERS.to_string(), "-j", "2", "-T", &seconds, "-f"])
        .arg(file);
    let output = command.output().context("running pgbench")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let failure = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "pgbench: {}", failure.trim());
    let rate =
        text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse::<f64>().ok());
    let rate = rate.with_context(|| format!("pgbench says no rate: {text}"))?;
    house.stop()?;
    Ok(rate * f64::from(BATCH))
}

/// The rows of a batch of events. Ids are of the time of the statement with random bits behind, made as cheaply as SQL
/// can: in the api, too, making them is next to nothing.
fn write_statement() -> String {
    format!(
        "WITH stamp AS (
             SELECT substr(trunkline.uuid_v7()::text, 1, 13) AS start
         ), new AS (
             SELECT e.lane, e.tenant_id, e.endpoint_id,
                    overlay(gen_random_uuid()::text PLACING stamp.start FROM 1 FOR 13)::uuid AS event_id
             FROM stamp, generate_series(0, {BATCH} - 1) AS number
             JOIN (SELECT row_number() OVER () - 1 AS turn, lane, tenant_id, endpoint_id FROM trunkline.endpoints) AS e
                 ON e.turn = number % {TENANTS}
         ), events AS (
             INSERT INTO trunkline.events
                 (lane, tenant_id, event_id, type, payload_sha256, payload_bytes, created_at, routed)
             SELECT lane, tenant_id, event_id, 'bench.event', decode(repeat('ab', 32), 'hex'), {PAYLOAD_BYTES}, now(), true
             FROM new
         ), payloads AS (
             INSERT INTO trunkline.payloads (lane, tenant_id, event_id, payload)
             SELECT lane, tenant_id, event_id, decode(repeat('ab', {PAYLOAD_BYTES}), 'hex')
             FROM new
         )
         INSERT INTO trunkline.deliveries (lane, tenant_id, event_id, endpoint_id, status, due_at, created_at)
         SELECT lane, tenant_id, event_id, endpoint_id, 'PENDING', now(), now()
         FROM new;"
    )
    .replace('\n', " ")
}
