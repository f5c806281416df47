//! Deliveries whose payload makes the code of an attempt panic. The product has no such payload that we know of, so it is broken
//! on purpose: each attempt must be told, everything else go on, and nothing that a payload holds reach a log, whatever the panic says.

use super::traffic::Traffic;
use crate::house::House;
use crate::http_client::Client;
use crate::mutants;
use crate::sink::Behaviour;
use crate::trial::Trial;

const PATH: &str = "/poisoned";
const EVENTS: u64 = 20;

/// In each payload, so that the panic says it (R11).
const CANARY: &str = "canary-of-a-payload";

const TOLD: &str = "SELECT count(*) FROM trunkline.deliveries AS d
    WHERE tenant_id = 'poisoned' AND status = 'FAILED' AND due_at IS NULL AND attempts = (
        SELECT count(*) FROM trunkline.attempts
        WHERE lane = d.lane AND tenant_id = d.tenant_id AND event_id = d.event_id AND outcome = 'internal_error')";

const BLAMED: &str = "SELECT count(*) FROM trunkline.endpoints
    WHERE tenant_id = 'poisoned' AND (failing_since IS NOT NULL OR breaker_open_until IS NOT NULL)";

pub(super) async fn run(trial: &mut Trial) -> anyhow::Result<()> {
    trial.programs = mutants::poisoned().await?;
    let mut house = House::furnished(&trial.folder, &trial.programs, 1, 2).await?;
    let traffic = Traffic::start(trial, &mut house, trial.load()).await?;
    house.sink.behave(PATH, Behaviour::default());
    let tenant = house.tenant("poisoned", PATH).await?;
    let (client, port) = (Client::new(), house.apis[0].role.port);
    for number in 0..EVENTS {
        let body = format!(r#"{{"number":{number},"word":"poisoned","more":"{CANARY}"}}"#);
        let reply = client.post(port, "/v1/events", &tenant.api_key, &[], body).await?;
        anyhow::ensure!(reply.status == 201, "publishing: {}", reply.status);
    }
    traffic.until_enough().await?;
    traffic.settle(trial, &house, 0).await?;
    let (mut panics, mut places, mut canaries) = (0.0, 0, 0);
    for worker in &mut house.workers {
        trial.report.exactly("workers that ended", u64::from(worker.has_ended()?), 0);
        panics += worker.metric("trunkline_worker_panics_total").await?;
        let log = std::fs::read_to_string(&worker.role.log)?;
        places += log.matches("worker/src/attempt.rs").count() as u64;
        canaries += log.matches(CANARY).count() as u64;
    }
    trial.report.at_least("panics told in the log by their place", places, EVENTS);
    trial.report.exactly("payloads in the log", canaries, 0);
    trial.report.at_least("panics counted", panics as u64, EVENTS);
    trial.report.exactly("told attempt by attempt, and given up", house.database.number(TOLD).await?, EVENTS);
    trial.report.exactly("endpoints blamed", house.database.number(BLAMED).await?, 0);
    trial.report.exactly("arrived all the same", house.sink.count(PATH) as u64, 0);
    house.close().await
}
