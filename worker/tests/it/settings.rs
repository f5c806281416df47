//! What an endpoint's owner has set: own headers, a pause.

use trunkline_testkit::eventually;

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
