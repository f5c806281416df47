//! A worker that is killed in the middle loses nothing. It runs as a real process, because a task cannot be killed -9.

use std::process::{Child, Command, Stdio};

use secrecy::ExposeSecret;

use crate::house::{House, millis};
use trunkline_testkit::{Answer, eventually};

/// A worker process; ends with the test.
pub(crate) struct Process(Child);

impl Process {
    /// It waits for an answer for longer than any test takes to kill it, and leases for longer than any test lasts.
    pub(crate) fn start(house: &House) -> Self {
        let url = house.settings.database.url.as_ref().unwrap().expose_secret();
        let child = Command::new(env!("CARGO_BIN_EXE_trunkline-worker"))
            .env("DATABASE_URL", url)
            .env("TRUNKLINE__SECRETS__KEYS", "test:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=")
            .env("TRUNKLINE__EGRESS__ALLOW", "127.0.0.0/8")
            .env("TRUNKLINE__ADMIN__BIND", "127.0.0.1:0")
            .env("TRUNKLINE__DELIVERY__TIMEOUT", "20s")
            .env("TRUNKLINE__WORKER__LEASE", "1h")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_worker_killed_in_the_middle_loses_nothing_and_its_attempt_is_told() {
    let house = House::new().await;
    house.sink.script([Answer::Hold]);
    let killed = Process::start(&house);
    let event_id = house.publish("{}").await;
    house.sink.wait_for(1).await;
    killed.kill();

    let worker = house.worker().await;
    assert_eq!(house.until(event_id, "DELIVERED").await.attempts, 2);
    assert_eq!(house.outcomes(event_id).await, "abandoned succeeded");
    let ids: Vec<_> = house.sink.arrivals().iter().map(|one| one.header("webhook-id").to_owned()).collect();
    assert_eq!(
        ids,
        [event_id.to_string(), event_id.to_string()],
        "the receiver can tell that it is the same event"
    );
    worker.stop().await;
}

#[tokio::test]
async fn what_a_killed_worker_held_is_retaken_long_before_its_lease_ends() {
    let house = House::new().await;
    house.sink.script([Answer::Hold]);
    let killed = Process::start(&house);
    let event_id = house.publish("{}").await;
    house.sink.wait_for(1).await;
    let worker = house.worker().await;
    killed.kill();
    assert_eq!(house.until(event_id, "DELIVERED").await.attempts, 2);
    assert_eq!(house.outcomes(event_id).await, "abandoned succeeded");
    worker.stop().await;
}

#[tokio::test]
async fn a_delivery_that_loses_every_worker_ends_as_a_dead_letter() {
    let house = House::with(|settings| settings.delivery.retry_schedule = vec![millis(10)]).await;
    let event_id = house.publish("{}").await;
    // Two claims that were never answered: the budget of this schedule.
    let lost = "UPDATE trunkline.deliveries
                SET attempts = 2, cycle_attempts = 2, lease = 1, leased_until = now() - interval '1 second'";
    house.database.execute(lost).await;
    house.database.execute("INSERT INTO trunkline.attempts (lane, tenant_id, event_id, endpoint_id, attempt, started_at, outcome)
        SELECT lane, tenant_id, event_id, endpoint_id, 1, now(), 'abandoned' FROM trunkline.deliveries").await;
    let worker = house.worker().await;
    let row = house.until(event_id, "FAILED").await;
    assert!(!row.is_due);
    assert_eq!(house.outcomes(event_id).await, "abandoned abandoned internal_error");
    assert_eq!(house.sink.arrivals().len(), 0, "it is not sent once more");
    worker.stop().await;
}

#[tokio::test]
async fn a_late_outcome_of_a_lease_that_was_lost_changes_nothing() {
    let house = House::with(|settings| settings.delivery.timeout = millis(20_000)).await;
    house.sink.script([Answer::HoldThen(410)]);
    let worker = house.worker().await;
    let event_id = house.publish("{}").await;
    house.sink.wait_for(1).await;
    // Cancelled while it is under way.
    let mut connection = house.database.connect().await;
    let now = trunkline_store::time::now(&mut connection).await.unwrap();
    let cancelled = trunkline_store::deliveries::cancel(
        &mut connection,
        house.acme.lane,
        &house.acme.tenant_id,
        event_id,
        now,
    )
    .await;
    assert_eq!(cancelled.unwrap(), 1);
    house.sink.release(1);
    worker.stop().await;
    assert_eq!(house.row(event_id).await.status, "CANCELLED");
    assert_eq!(house.outcomes(event_id).await, "superseded");
    assert_eq!(house.database.text("SELECT enabled FROM trunkline.endpoints").await, "t");
}

#[tokio::test]
async fn what_two_workers_in_a_row_were_lost_with_waits_as_the_schedule_says() {
    let house = House::with(|settings| settings.delivery.retry_schedule = vec![millis(3_600_000); 3]).await;
    let event_id = house.publish("{}").await;
    let neighbour = house.publish("{}").await;
    let lost = |event_id: trunkline_domain::EventId, times: u32| {
        let id = event_id.as_uuid();
        format!(
            "UPDATE trunkline.deliveries SET attempts = {times}, cycle_attempts = {times}, lease = 1,
                 leased_until = now() - interval '1 second' WHERE event_id = '{id}';
             INSERT INTO trunkline.attempts (lane, tenant_id, event_id, endpoint_id, attempt, started_at, outcome)
             SELECT lane, tenant_id, event_id, endpoint_id, n, now(), 'abandoned'
             FROM trunkline.deliveries, generate_series(1, {times} - 1) AS n WHERE event_id = '{id}'"
        )
    };
    house.database.execute(&lost(event_id, 2)).await;
    house.database.execute(&lost(neighbour, 1)).await;
    let worker = house.worker().await;
    house.until(neighbour, "DELIVERED").await;
    let waits = format!(
        "SELECT attempts || ' ' || (lease IS NULL) || ' ' || (due_at > now() + interval '40 minutes')
         FROM trunkline.deliveries WHERE event_id = '{}'",
        event_id.as_uuid()
    );
    eventually("it waits", async || (house.database.text(&waits).await == "2 true true").then_some(())).await;
    worker.stop().await;
    assert_eq!(house.outcomes(event_id).await, "abandoned abandoned", "both are told, and it was not sent");
    assert_eq!(house.sink.arrivals().len(), 1);
}

#[test]
fn a_program_that_finds_no_database_ends_with_69() {
    let ended = Command::new(env!("CARGO_BIN_EXE_trunkline-worker"))
        .env_clear()
        .env("TRUNKLINE__DATABASE__URL", "postgres://nobody:secret@127.0.0.1:1/none")
        .env("TRUNKLINE__SECRETS__KEYS", "k1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=")
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(69), "{}", String::from_utf8_lossy(&ended.stderr));
}
