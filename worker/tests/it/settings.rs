//! What an endpoint's owner has set: own headers, a pause.

use std::time::Duration;

use trunkline_boot::Shutdown;
use trunkline_boot::random::random_bytes;
use trunkline_domain::{EventId, NewEvent};
use trunkline_store::endpoints::set_paused;
use trunkline_store::tenants::{DefaultEndpointChange, update_default_endpoint};
use trunkline_store::wake::{self, Wake};
use trunkline_store::{events, time};
use trunkline_testkit::{Answer, eventually};

use crate::house::House;

#[tokio::test]
async fn custom_headers_are_sent_and_never_replace_ours() {
    let house = House::new().await;
    house
        .database
        .execute(
            r#"UPDATE trunkline.endpoints SET custom_headers =
               '{"authorization":"Bearer of-acme","x-team":"a","webhook-id":"forged","User-Agent":"forged","bad name":"x",
                 "Transfer-Encoding":"chunked","content-length":"1","connection":"close"}'"#,
        )
        .await;
    let worker = house.worker().await;
    let event_id = house.publish("{}").await;
    let arrivals = house.sink.wait_for(1).await;
    assert_eq!(arrivals[0].header("authorization"), "Bearer of-acme");
    assert_eq!(arrivals[0].header("x-team"), "a");
    assert_eq!(arrivals[0].header("webhook-id"), event_id.to_string());
    assert!(arrivals[0].header("user-agent").starts_with("Trunkline/"));
    assert_eq!(arrivals[0].headers.get_all("webhook-id").iter().count(), 1);
    assert_eq!(arrivals[0].body, "{}");
    for reserved in ["transfer-encoding", "connection"] {
        assert_eq!(arrivals[0].header(reserved), "", "the table is not trusted with {reserved}");
    }
    assert_eq!(arrivals[0].header("content-length"), "2");
    worker.stop().await;
}

#[tokio::test]
async fn a_paused_endpoint_gets_nothing_until_it_is_resumed_and_loses_nothing() {
    let house = House::new().await;
    house.database.execute("UPDATE trunkline.endpoints SET paused = true").await;
    let worker = house.worker().await;
    let events = [house.publish("{}").await, house.publish("{}").await];
    // Another tenant's delivery shows that the worker is at work meanwhile.
    let other = trunkline_testkit::Sink::start().await;
    let globex =
        trunkline_testkit::seed_tenant(&house.database, &house.settings, "globex", &other.url("/")).await;
    trunkline_testkit::publish(&house.database, &globex, "{}").await;
    other.wait_for(1).await;
    assert_eq!(house.sink.arrivals().len(), 0);
    // What was retried by hand passes.
    let sql = format!(
        "UPDATE trunkline.deliveries SET expedited = true WHERE event_id = '{}'",
        events[1].as_uuid()
    );
    house.database.execute(&sql).await;
    house.until(events[1], "DELIVERED").await;
    assert_eq!(house.row(events[0]).await.attempts, 0);
    house.database.execute("UPDATE trunkline.endpoints SET paused = false").await;
    house.until(events[0], "DELIVERED").await;
    eventually("both arrived", async || (house.sink.arrivals().len() == 2).then_some(())).await;
    worker.stop().await;
}

#[tokio::test]
async fn what_is_published_after_a_change_is_sent_by_it() {
    // Nothing but notifications, which come in the order of their commits.
    let house = House::with(|settings| settings.worker.poll_idle = Duration::from_secs(60)).await;
    let worker = house.worker().await;
    let mut connection = house.database.connect().await;
    let (tenant_id, endpoint_id) = (&house.acme.tenant_id, house.acme.endpoint_id);
    for path in ["/one", "/two", "/three"] {
        let url = house.sink.url(path);
        let change = DefaultEndpointChange { url: Some(&url), ..DefaultEndpointChange::default() };
        let now = time::now(&mut connection).await.unwrap();
        assert!(
            update_default_endpoint(&mut connection, tenant_id, endpoint_id, &change, now).await.unwrap()
        );
        let event_id = house.publish("{}").await;
        house.until(event_id, "DELIVERED").await;
        let arrivals = house.sink.arrivals();
        assert_eq!(arrivals.last().unwrap().path, path);
    }
    let now = time::now(&mut connection).await.unwrap();
    assert!(set_paused(&mut connection, tenant_id, endpoint_id, true, now).await.unwrap());
    let waiting = house.publish("{}").await;
    let tested = publish_test(&house).await;
    house.until(tested, "DELIVERED").await;
    assert_eq!(house.row(waiting).await.attempts, 0);
    worker.stop().await;
}

#[tokio::test]
async fn a_test_event_passes_a_pause_and_nothing_else_does() {
    let house = House::new().await;
    house.database.execute("UPDATE trunkline.endpoints SET paused = true").await;
    let worker = house.worker().await;
    let waiting = house.publish("{}").await;
    let tested = publish_test(&house).await;
    house.until(tested, "DELIVERED").await;
    assert_eq!(house.row(waiting).await.attempts, 0);
    worker.stop().await;
}

#[tokio::test]
async fn a_test_event_passes_an_open_breaker_and_is_its_probe() {
    // One attempt is enough for what fails here.
    let house = House::with(|settings| settings.delivery.retry_schedule = Vec::new()).await;
    let worker = house.worker().await;
    house.sink.answer(Answer::Status(500));
    for _ in 0..10 {
        let event_id = house.publish("{}").await;
        house.until(event_id, "FAILED").await;
    }
    house.sink.script([Answer::Hold]);
    house.sink.answer(Answer::Status(200));
    let waiting = house.publish("{}").await;
    let tested = publish_test(&house).await;
    let arrivals = house.sink.wait_for(11).await;
    assert_eq!(arrivals[10].header("webhook-id"), tested.to_string(), "it was first though it came later");
    assert_eq!(house.row(waiting).await.attempts, 0);
    house.sink.release(1);
    house.until(tested, "DELIVERED").await;
    // It succeeded: that closes the breaker.
    house.until(waiting, "DELIVERED").await;
    worker.stop().await;
}

/// As `POST /v1/endpoints/{endpoint_id}/test` does.
async fn publish_test(house: &House) -> EventId {
    let mut connection = house.database.borrow().await;
    let created_at = time::now(&mut connection).await.unwrap();
    let event = NewEvent {
        lane: house.acme.lane,
        tenant_id: house.acme.tenant_id.clone(),
        event_id: EventId::mint(created_at, u64::from_ne_bytes(random_bytes())),
        event_type: Some("trunkline.test".parse().unwrap()),
        created_at,
        deliver_at: None,
        ordering_key: None,
        traceparent: None,
        is_judged: true,
        payload: bytes::Bytes::from_static(b"{}"),
        payload_sha256: [0; 32],
    };
    assert!(events::publish_to(&mut connection, &event, house.acme.endpoint_id).await.unwrap());
    wake::notify(&mut connection, &Wake::Look).await.unwrap();
    event.event_id
}

#[tokio::test]
async fn a_sealed_header_is_sent_as_its_tenant_wrote_it_and_nothing_goes_out_without_it() {
    let house = House::new().await;
    let (tenant_id, endpoint_id) = (&house.acme.tenant_id, house.acme.endpoint_id);
    let vault = trunkline_testkit::vault(&house.settings);
    let sealed = vault.seal_header(tenant_id, endpoint_id, "authorization", "Bearer of-acme", random_bytes());
    let set = |value: &str| {
        let headers = format!(r#"{{"authorization": "{value}"}}"#);
        format!("UPDATE trunkline.endpoints SET custom_headers = '{headers}'")
    };
    house.database.execute(&set(&sealed.unwrap())).await;
    let worker = house.worker().await;
    house.publish("{}").await;
    let arrivals = house.sink.wait_for(1).await;
    assert_eq!(arrivals[0].header("authorization"), "Bearer of-acme");
    worker.stop().await;

    // Under a key that this worker lacks: the endpoint would refuse what comes without its credential.
    house.database.execute(&set("sealed:lost:AAAA")).await;
    let worker = house.worker().await;
    let event_id = house.publish("{}").await;
    house.until(event_id, "FAILED").await;
    let error = "SELECT last_error FROM trunkline.deliveries WHERE last_error IS NOT NULL";
    let error = house.database.text(error).await;
    assert!(error.contains("a custom header could not be opened"), "{error}");
    assert_eq!(house.sink.arrivals().len(), 1);
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_refuses_fewer_connections_than_it_needs_at_one_time() {
    let mut house = House::new().await;
    for (connections, starts) in [(5, false), (6, true)] {
        house.settings.database.max_connections = connections;
        let built = trunkline_worker::build(&house.settings, Shutdown::new()).await;
        let told = built.err().map(|error| error.to_string());
        assert_eq!(told.is_none(), starts, "{told:?}");
        if let Some(told) = told {
            assert!(told.contains("database.max_connections is too small: write 6 or more"), "{told}");
        }
    }
}
