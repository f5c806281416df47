//! The demonstration that the README shows, through every door.

use serde_json::json;
use trunkline_testkit::{Reply, TestDatabase, eventually, seed_tenant, settings};
use trunkline_tests::{Api, Receiver, Worker};

#[tokio::test]
async fn switched_off_published_failed_switched_on_retried_delivered() {
    let database = TestDatabase::new().await;
    let mut settings = settings(&database);
    // One attempt a cycle: what is retried is retried by hand.
    settings.delivery.retry_schedule = vec![std::time::Duration::from_secs(3_600)];
    let receiver = Receiver::start(&settings).await;
    let api = Api::start(&settings).await;
    let worker = Worker::start(&settings).await;
    let url = format!("http://127.0.0.1:{}/acme/webhook", receiver.port);
    let acme = seed_tenant(&database, &settings, "acme", &url).await;
    let tenant = api.client.bearer(&acme.api_key);
    let control = receiver.client.bearer(&acme.api_key);

    let off = control.post("/acme/disable", "").await;
    assert_eq!((off.status, off.json()["accepts_webhooks"].clone()), (200, json!(false)));

    let payload = r#"{"type":"order.created","total": 1.50,"note":"caf\u00e9"}"#;
    let published = tenant.post("/v1/events", payload).await;
    assert_eq!((published.status, published.json()["status"].clone()), (201, json!("PENDING")));
    let path = format!("/v1/events/{}", published.json()["event_id"].as_str().unwrap());
    assert_eq!(published.header("location"), path);

    let failed = when(&tenant, &path, "FAILED").await;
    assert_eq!(failed["attempts"], 1);
    assert_eq!(failed["deliveries"][0]["last_status_code"], 503);

    let on = control.post("/acme/enable", "").await;
    assert_eq!((on.status, on.json()["accepts_webhooks"].clone()), (200, json!(true)));
    // The receiver's 503 asked for a second of quiet; a retry by hand does not wait for it.
    let retried = tenant.post(&format!("{path}/retry"), "").await;
    assert_eq!((retried.status, retried.json()["status"].clone()), (200, json!("PENDING")));

    let delivered = when(&tenant, &path, "DELIVERED").await;
    assert_eq!(delivered["attempts"], 2);
    assert_eq!(delivered["target_url"], url);
    let reply = tenant.get(&path).await;
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(text.contains(payload), "the payload is shown byte for byte: {text}");

    let attempts = tenant.get(&format!("{path}/attempts")).await.json();
    let shown: Vec<_> = attempts["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["number"].clone(), one["outcome"].clone()))
        .collect();
    assert_eq!(shown, [(json!(1), json!("rejected")), (json!(2), json!("succeeded"))]);

    let received = control.get("/acme/received").await.json();
    assert!(received.to_string().contains(published.json()["event_id"].as_str().unwrap()));

    worker.stop().await;
    api.stop().await;
    receiver.stop().await;
}

/// Asks for the event until it shows the status.
async fn when(tenant: &trunkline_testkit::Client, path: &str, status: &str) -> serde_json::Value {
    eventually(&format!("{path} is {status}"), async || {
        let reply: Reply = tenant.get(path).await;
        let event = reply.json()["event"].clone();
        (event["status"] == status).then_some(event)
    })
    .await
}
