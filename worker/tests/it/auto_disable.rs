//! An endpoint that fails for days is disabled, one that was unlucky is not.

use trunkline_testkit::{Answer, eventually, seed_tenant};

use crate::house::{House, millis};

const STATE: &str =
    "SELECT concat_ws(' ', enabled, disabled_reason) FROM trunkline.endpoints WHERE tenant_id = 'acme'";
const AUDIT: &str = "SELECT string_agg(concat_ws(' ', actor, action, tenant_id, target, request_id), ', ') FROM trunkline.audit";
const FAILURES: &str = "SELECT failures FROM trunkline.endpoints";

/// Nothing is written to the audit, and it shows that somebody tried.
const REFUSE_AUDIT: &str = "CREATE SEQUENCE public.refused;
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
        'BEGIN PERFORM nextval(''public.refused''); RAISE EXCEPTION ''refused''; END';
    CREATE TRIGGER refuse BEFORE INSERT ON trunkline.audit FOR EACH ROW EXECUTE FUNCTION public.refuse()";

async fn set(house: &House, sql: &str) {
    house.database.execute(&format!("UPDATE trunkline.endpoints SET {sql}")).await;
}

/// An endpoint that must be disabled, in the statement that looks at all others too.
async fn seed_failing(house: &House) {
    seed_tenant(&house.database, &house.settings, "failing", "http://127.0.0.1:9/").await;
    let must = "UPDATE trunkline.endpoints SET failing_since = now() - interval '6 days', failures = 100 WHERE tenant_id = 'failing'";
    house.database.execute(must).await;
}

async fn round_of_upkeep(house: &House) {
    let disabled = "SELECT count(*) FROM trunkline.endpoints WHERE tenant_id = 'failing' AND NOT enabled";
    eventually("another is disabled", async || (house.database.text(disabled).await == "1").then_some(()))
        .await;
}

#[tokio::test]
async fn five_days_and_a_hundred_failures_disable_it() {
    let house = House::new().await;
    set(&house, "failing_since = now() - interval '5 days 1 minute', failures = 100").await;
    let worker = house.worker().await;
    eventually("it is disabled", async || (house.database.text(STATE).await == "f failing").then_some(()))
        .await;
    // By a rule, and so says the audit, once.
    let written = house.database.text(AUDIT).await;
    assert_eq!(written, format!("trunkline endpoint.disable_failing acme {}", house.acme.endpoint_id));
    // Its deliveries are kept and wait; new events do not match it.
    let event_id = house.publish("{}").await;
    let deliveries =
        format!("SELECT count(*) FROM trunkline.deliveries WHERE event_id = '{}'", event_id.as_uuid());
    assert_eq!(house.database.text(&deliveries).await, "0");
    worker.stop().await;
}

#[tokio::test]
async fn fewer_failures_or_days_do_not() {
    for sql in [
        "failing_since = now() - interval '5 days 1 minute', failures = 99",
        "failing_since = now() - interval '4 days 23 hours', failures = 100000",
        "failing_since = NULL, failures = 100000",
    ] {
        let house = House::new().await;
        set(&house, sql).await;
        seed_failing(&house).await;
        let worker = house.worker().await;
        round_of_upkeep(&house).await;
        worker.stop().await;
        assert_eq!(house.database.text(STATE).await, "t", "{sql}");
    }
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_disabled() {
    let house = House::new().await;
    set(&house, "failing_since = now() - interval '5 days 1 minute', failures = 100").await;
    house.database.break_by(REFUSE_AUDIT).await;
    let worker = house.worker().await;
    let refused = "SELECT is_called::text FROM public.refused";
    eventually("it was refused", async || (house.database.text(refused).await == "true").then_some(())).await;
    worker.stop().await;
    assert_eq!(house.database.text(STATE).await, "t");
}

#[tokio::test]
async fn failures_are_counted_and_a_success_takes_them_back() {
    let house = House::with(|settings| settings.delivery.retry_schedule = vec![millis(10); 3]).await;
    house.sink.answer(Answer::Status(500));
    let worker = house.worker().await;
    let event_id = house.publish("{}").await;
    eventually("it is a dead letter", async || (!house.row(event_id).await.is_due).then_some(())).await;
    // What is counted and not written is written at a stop.
    worker.stop().await;
    assert_eq!(house.database.text(FAILURES).await, "4");

    let worker = house.worker().await;
    house.sink.answer(Answer::Status(200));
    let event_id = house.publish("{}").await;
    house.until(event_id, "DELIVERED").await;
    let well = "SELECT (failing_since IS NULL)::text || ' ' || failures FROM trunkline.endpoints";
    eventually("all is well", async || (house.database.text(well).await == "true 0").then_some(())).await;
    worker.stop().await;
}

#[tokio::test]
async fn our_own_faults_are_not_counted() {
    let house = House::with(|settings| {
        settings.egress.allow = Vec::new();
        settings.delivery.retry_schedule = vec![millis(10); 3];
    })
    .await;
    let worker = house.worker().await;
    let event_id = house.publish("{}").await;
    eventually("it is a dead letter", async || (!house.row(event_id).await.is_due).then_some(())).await;
    worker.stop().await;
    assert_eq!(house.outcomes(event_id).await, "blocked blocked blocked blocked");
    assert_eq!(house.database.text(FAILURES).await, "0");
}
