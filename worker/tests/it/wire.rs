//! What travels: the payload's bytes, the headers of the contract, signatures that a library of others accepts.

use trunkline_signing::{Secret, stripe};

use crate::house::House;

#[tokio::test]
async fn a_delivery_carries_the_exact_bytes_signed_under_both_schemes() {
    let house = House::new().await;
    let worker = house.worker().await;
    let payload = "{ \"b\": 1e400,\n \"a\":\"caf\\u00e9 \u{1f600}\" }";
    let event_id = house.publish(payload).await;
    let arrival = house.sink.wait_for(1).await.remove(0);
    worker.stop().await;

    assert_eq!(arrival.body, payload.as_bytes());
    assert_eq!(arrival.header("content-type"), "application/json");
    assert_eq!(arrival.header("user-agent"), concat!("Trunkline/", env!("CARGO_PKG_VERSION")));
    assert_eq!(arrival.header("webhook-id"), event_id.to_string());
    assert_eq!(arrival.header("trunkline-event-type"), "test.happened");
    assert_eq!(arrival.header("trunkline-attempt"), "1");

    let webhook = standardwebhooks::Webhook::new(&house.acme.webhook_secret).unwrap();
    webhook.verify(&arrival.body, &arrival.headers).unwrap();
    let secret = Secret::parse(&house.acme.webhook_secret).unwrap();
    let now = trunkline_boot::clock::signing_now();
    stripe::verify(
        arrival.header("stripe-signature"),
        &arrival.body,
        &[&secret],
        now,
        std::time::Duration::from_secs(300),
    )
    .unwrap();
}

#[tokio::test]
async fn an_idle_worker_is_woken_by_the_notification() {
    let house = House::with(|settings| settings.worker.poll_idle = std::time::Duration::from_secs(60)).await;
    let worker = house.worker().await;
    // The first goes out with the look that follows the start; from the second on only a notification can wake it.
    for count in 1..=5 {
        house.publish("{}").await;
        house.sink.wait_for(count).await;
    }
    worker.stop().await;
}
