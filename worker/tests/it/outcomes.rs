//! What answers mean, as contract and endpoint rows show it.

use crate::house::{House, millis};
use trunkline_boot::settings::KeptHeaders;
use trunkline_testkit::{Answer, eventually, publish, seed_tenant};

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let house = House::with(|settings| settings.delivery.retry_schedule = vec![millis(3_600_000)]).await;
    let elsewhere = house.sink.url("/elsewhere");
    house.sink.answer(Answer::Full(307, vec![("location", elsewhere)], String::new()));
    let worker = house.worker().await;
    let event_id = house.publish("{}").await;
    house.until(event_id, "FAILED").await;
    let paths: Vec<_> = house.sink.arrivals().into_iter().map(|one| one.path).collect();
    assert_eq!(paths, ["/hook"]);
    let error = house.database.text("SELECT last_error FROM trunkline.deliveries").await;
    assert!(error.contains("redirects are not followed"), "{error}");
    worker.stop().await;
}

#[tokio::test]
async fn an_attempt_keeps_the_headers_of_a_failure_with_cookies_masked_and_none_of_a_success() {
    let house = House::with(|settings| settings.delivery.retry_schedule = vec![millis(1)]).await;
    let headers = vec![("x-limit", "12".to_owned()), ("set-cookie", "session=secret".to_owned())];
    house.sink.script([Answer::Full(500, headers, String::new())]);
    let worker = house.worker().await;
    let event_id = house.publish("{}").await;
    house.until(event_id, "DELIVERED").await;
    let kept =
        "SELECT string_agg(coalesce(convert_from(response_headers, 'UTF8'), 'none'), '|' ORDER BY attempt)
                FROM trunkline.attempts";
    let kept = house.database.text(kept).await;
    let (failure, success) = kept.split_once('|').unwrap();
    assert!(failure.lines().any(|line| line == "x-limit: 12"), "{failure}");
    assert!(failure.lines().any(|line| line == "set-cookie: ***"), "{failure}");
    assert_eq!(success, "none");
    worker.stop().await;
}

#[tokio::test]
async fn an_attempt_keeps_the_headers_of_a_success_too_where_that_is_set() {
    let house = House::with(|settings| settings.delivery.keep_headers = KeptHeaders::All).await;
    house.sink.script([Answer::Full(200, vec![("x-request-id", "r-7".to_owned())], String::new())]);
    let worker = house.worker().await;
    let event_id = house.publish("{}").await;
    house.until(event_id, "DELIVERED").await;
    let kept = "SELECT convert_from(response_headers, 'UTF8') FROM trunkline.attempts";
    let kept = house.database.text(kept).await;
    assert!(kept.lines().any(|line| line == "x-request-id: r-7"), "{kept}");
    worker.stop().await;
}

#[tokio::test]
async fn gone_disables_the_endpoint_and_its_deliveries_wait() {
    let house = House::new().await;
    house.sink.answer(Answer::Status(410));
    let worker = house.worker().await;
    house.publish("{}").await;
    eventually("the endpoint is disabled", async || {
        let state =
            house.database.text("SELECT enabled || ' ' || disabled_reason FROM trunkline.endpoints").await;
        (state == "false gone").then_some(())
    })
    .await;
    // The retry is due long before this; a new event no longer matches.
    let unrouted = house.publish("{}").await;
    let routed = house
        .database
        .text(&format!("SELECT routed FROM trunkline.events WHERE event_id = '{}'", unrouted.as_uuid()))
        .await;
    assert_eq!(routed, "f");
    worker.stop().await;
    assert_eq!(house.sink.arrivals().len(), 1);
    let written =
        "SELECT string_agg(concat_ws(' ', actor, action, tenant_id, target), ', ') FROM trunkline.audit";
    let expected = format!("trunkline endpoint.disable_gone acme {}", house.acme.endpoint_id);
    assert_eq!(house.database.text(written).await, expected);
}

#[tokio::test]
async fn retry_after_pauses_the_whole_endpoint_and_a_retry_by_hand_passes() {
    let house = House::new().await;
    house.sink.script([Answer::Full(429, vec![("retry-after", "3600".to_owned())], String::new())]);
    let worker = house.worker().await;
    let first = house.publish("{}").await;
    house.until(first, "FAILED").await;
    eventually("the endpoint is paused", async || {
        let paused = "SELECT paused_until > now() + interval '59 minutes' FROM trunkline.endpoints";
        (house.database.text(paused).await == "t").then_some(())
    })
    .await;
    let due =
        "SELECT due_at > now() + interval '59 minutes' FROM trunkline.deliveries WHERE status = 'FAILED'";
    assert_eq!(house.database.text(due).await, "t", "the delivery itself waits as long");

    let second = house.publish("{}").await;
    let mut connection = house.database.connect().await;
    let now = trunkline_store::time::now(&mut connection).await.unwrap();
    trunkline_store::deliveries::reopen(
        &mut connection,
        house.acme.lane,
        &house.acme.tenant_id,
        first,
        None,
        now,
    )
    .await
    .unwrap();
    trunkline_store::wake::notify(&mut connection, &trunkline_store::wake::Wake::Look).await.unwrap();
    house.until(first, "DELIVERED").await;
    assert_eq!(house.row(second).await.attempts, 0, "the others wait on");
    worker.stop().await;
}

#[tokio::test]
async fn what_an_answer_asks_for_is_written_although_another_endpoints_row_is_held_and_of_that_one_later() {
    let house = House::new().await;
    let globex = seed_tenant(&house.database, &house.settings, "globex", &house.sink.url("/other")).await;
    house.sink.answer(Answer::Full(429, vec![("retry-after", "3600".to_owned())], String::new()));
    let mut somebody = house.database.connect().await;
    let hold = "BEGIN; SELECT FROM trunkline.endpoints WHERE tenant_id = 'acme' FOR UPDATE";
    trunkline_testkit::run(&mut somebody, hold).await;
    house.publish("{}").await;
    publish(&house.database, &globex, "{}").await;
    let worker = house.worker().await;
    let paused = "SELECT string_agg(tenant_id, ' ' ORDER BY tenant_id) FROM trunkline.endpoints
                  WHERE paused_until > now() + interval '59 minutes'";
    eventually("the other is paused", async || (house.database.text(paused).await == "globex").then_some(()))
        .await;
    let attempts = "SELECT count(*) FROM trunkline.attempts";
    eventually("both are recorded", async || (house.database.text(attempts).await == "2").then_some(()))
        .await;
    trunkline_testkit::run(&mut somebody, "COMMIT").await;
    eventually("both are paused", async || {
        (house.database.text(paused).await == "acme globex").then_some(())
    })
    .await;
    worker.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_in_time_has_failed() {
    let house = House::with(|settings| {
        settings.delivery.timeout = millis(150);
        settings.delivery.retry_schedule = vec![millis(3_600_000)];
    })
    .await;
    house.sink.answer(Answer::Hold);
    let worker = house.worker().await;
    let event_id = house.publish("{}").await;
    house.until(event_id, "FAILED").await;
    assert_eq!(house.outcomes(event_id).await, "timeout");
    worker.stop().await;
}

#[tokio::test]
async fn a_connection_that_breaks_has_failed() {
    let house = House::with(|settings| settings.delivery.retry_schedule = vec![millis(3_600_000)]).await;
    house.sink.answer(Answer::Close);
    let worker = house.worker().await;
    let event_id = house.publish("{}").await;
    house.until(event_id, "FAILED").await;
    assert_eq!(house.outcomes(event_id).await, "connection_error");
    worker.stop().await;
}

#[tokio::test]
async fn an_answer_is_read_no_further_than_needed_and_kept_as_bytes() {
    let house = House::new().await;
    house.sink.answer(Answer::Full(200, Vec::new(), "<b>x</b>\u{0}".repeat(100_000)));
    let worker = house.worker().await;
    let event_id = house.publish("{}").await;
    house.until(event_id, "DELIVERED").await;
    let kept = house.database.text("SELECT octet_length(response_excerpt) FROM trunkline.attempts").await;
    assert_eq!(kept, "4096");
    worker.stop().await;
}

#[tokio::test]
async fn an_endpoint_shows_since_when_it_fails_and_that_it_recovered() {
    let house = House::new().await;
    house.sink.script([Answer::Status(500)]);
    let worker = house.worker().await;
    let event_id = house.publish("{}").await;
    house.until(event_id, "DELIVERED").await;
    eventually("it is healthy again", async || {
        (house.database.text("SELECT failing_since IS NULL FROM trunkline.endpoints").await == "t")
            .then_some(())
    })
    .await;
    worker.stop().await;
}

#[tokio::test]
async fn while_outcomes_cannot_be_written_nothing_more_is_sent() {
    let house = House::with(|settings| settings.worker.endpoint_concurrency = 8).await;
    house.sink.answer(Answer::Hold);
    for _ in 0..40 {
        house.publish("{}").await;
    }
    let worker = house.worker().await;
    house.sink.wait_for(8).await;
    // Those that ended make it claim ahead.
    house.sink.release(8);
    let claimed = "SELECT count(*) > 8 FROM trunkline.deliveries WHERE lease IS NOT NULL";
    eventually("some are claimed ahead", async || (house.database.text(claimed).await == "t").then_some(()))
        .await;
    house.sink.wait_for(16).await;
    // The disk is full. A sequence counts on although its transaction is rolled back.
    house
        .database
        .execute(
            "CREATE SEQUENCE public.tries;
             CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
             $$BEGIN PERFORM nextval('public.tries'); RAISE EXCEPTION USING ERRCODE = 'disk_full'; END$$;
             CREATE TRIGGER refuse BEFORE INSERT ON trunkline.attempts FOR EACH ROW EXECUTE FUNCTION public.refuse()",
        )
        .await;
    let now = "SELECT clock_timestamp()";
    house.sink.release(1);
    until_tried(&house, 2).await;
    let known = house.database.text(now).await;
    house.sink.release(4);
    until_tried(&house, 6).await;
    let over = house.database.text(now).await;
    house.database.execute("DROP TRIGGER refuse ON trunkline.attempts").await;
    house.sink.release(100);
    let delivered = "SELECT count(*) FROM trunkline.deliveries WHERE status = 'DELIVERED'";
    eventually("all are delivered", async || (house.database.text(delivered).await == "40").then_some(()))
        .await;
    let begun =
        format!("SELECT count(*) FROM trunkline.attempts WHERE started_at BETWEEN '{known}' AND '{over}'");
    assert_eq!(house.database.text(&begun).await, "0");
    assert_eq!(house.sink.arrivals().len(), 40, "each once");
    worker.stop().await;
}

/// Waits until outcomes could not be written so often.
async fn until_tried(house: &House, times: u32) {
    let tried = format!("SELECT last_value >= {times} FROM public.tries");
    eventually("outcomes were tried", async || (house.database.text(&tried).await == "t").then_some(()))
        .await;
}
