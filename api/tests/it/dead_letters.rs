//! Dead letters: listed, requeued, purged.

use serde_json::json;

use crate::house::House;

#[tokio::test]
async fn dead_letters_are_listed_in_pages_requeued_and_purged_with_counts() {
    let house = House::new().await;
    let mut dead = Vec::new();
    for number in 0..5 {
        let id = house.publish(&format!("{{\"type\":\"kind.{}\"}}", number % 2)).await;
        house.set(&id, "DEAD").await;
        dead.push(id);
    }
    let waiting = house.publish("{}").await;
    house.set(&waiting, "FAILED").await;
    let first = house.client.get("/v1/dead-letters?limit=3").await.json();
    assert_eq!(first["total_count"], 3);
    assert_eq!(first["dead_letters"][0]["event_id"], json!(dead[4]), "newest first");
    let rest = house
        .client
        .get(&format!("/v1/dead-letters?limit=3&next_token={}", first["next_token"].as_str().unwrap()))
        .await
        .json();
    assert_eq!((rest["total_count"].clone(), rest.get("next_token")), (json!(2), None));
    assert_eq!(house.client.get("/v1/dead-letters?type=kind.1").await.json()["total_count"], 2);

    let requeued = house.client.post("/v1/dead-letters/requeue", r#"{"type":"kind.1"}"#).await;
    assert_eq!((requeued.status, requeued.json()), (200, json!({"requeued": 2, "more": false})));
    let named = json!({"event_ids": [dead[0], waiting]}).to_string();
    assert_eq!(
        house.client.post("/v1/dead-letters/purge", named).await.json(),
        json!({"purged": 1, "more": false})
    );
    assert_eq!(house.client.post("/v1/dead-letters/purge", "{}").await.json()["purged"], 2);
    assert_eq!(house.client.get("/v1/dead-letters").await.json()["total_count"], 0);
    let counts = "SELECT string_agg(status || ' ' || n, ', ' ORDER BY status) FROM (SELECT status, count(*) AS n FROM trunkline.deliveries GROUP BY status) AS s";
    assert_eq!(house.database.text(counts).await, "PENDING 2, FAILED 1, CANCELLED 3");
}
