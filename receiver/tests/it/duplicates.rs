use futures_util::future::join_all;
use serde_json::json;

use crate::house::{BODY, House, Replica};

#[tokio::test]
async fn the_same_id_again_has_no_second_effect() {
    let house = House::new().await;
    assert_eq!(house.deliver("evt_1").await.json(), json!({"status": "received", "tenant_id": "acme"}));
    let again = house.deliver("evt_1").await;
    assert_eq!(again.status, 200);
    assert_eq!(again.json(), json!({"status": "received", "tenant_id": "acme", "duplicate": true}));
    assert_eq!(house.receipts().await, "1");

    // Another path is another consumer.
    let elsewhere = house.post("/acme/webhook/orders", BODY, &house.sign("evt_1").pairs()).await;
    assert_eq!(elsewhere.json().get("duplicate"), None);
    assert_eq!(house.receipts().await, "2");
}

#[tokio::test]
async fn of_twenty_at_once_on_two_replicas_one_is_the_first() {
    let house = House::new().await;
    let second = Replica::start(&house.settings).await;
    let headers = house.sign("evt_1");
    let replies = join_all((0..20).map(async |number| {
        let client = if number % 2 == 0 { &house.replica.client } else { &second.client };
        // A sender that is told 503, as on a machine that stood still for half a second, sends again.
        trunkline_testkit::eventually("it is taken", async || {
            let reply = client.send(http::Method::POST, "/acme/webhook", BODY, &headers.pairs()).await;
            (reply.status != 503).then_some(reply)
        })
        .await
    }))
    .await;
    for reply in &replies {
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    }
    let first = replies.iter().filter(|reply| reply.json().get("duplicate").is_none()).count();
    assert_eq!(first, 1);
    assert_eq!(house.database.text("SELECT duplicates::text FROM trunkline.receipts").await, "19");
}

#[tokio::test]
async fn without_an_id_the_content_is_the_name() {
    let house = House::new().await;
    let post = async |offset: i64, path: &str| {
        let signed = house.sign_at("-", trunkline_boot::clock::signing_now() + offset);
        let headers = [("Stripe-Signature", signed.stripe_signature.as_str()), ("webhook-id", "not-signed")];
        let reply = house.post(path, BODY, &headers).await;
        assert_eq!(reply.status, 200);
        reply.json()["duplicate"] == true
    };
    assert!(!post(0, "/acme/webhook").await);
    assert!(post(5, "/acme/webhook").await, "signed anew, it is still the same");
    assert!(!post(5, "/acme/webhook/other").await);
}
