use crate::house::{BODY, House, assert_problem};

#[tokio::test]
async fn the_last_arrivals_are_shown_newest_first() {
    let house = House::new().await;
    let owner = house.replica.client.bearer(&house.acme.api_key);
    assert_eq!(owner.get("/acme/received").await.json()["received"], serde_json::json!([]));

    house.deliver("evt_1").await;
    let signed = house.sign("evt_2");
    let headers = [&signed.pairs()[..], &[("trunkline-event-type", "order.paid")]].concat();
    house.post("/acme/webhook/orders", BODY, &headers).await;
    house.deliver("evt_1").await;

    let answer = owner.get("/acme/received").await.json();
    assert_eq!(answer["tenant_id"], "acme");
    let received = answer["received"].as_array().unwrap();
    assert_eq!(received.len(), 2);
    let (second, first) = (&received[0], &received[1]);
    assert_eq!(
        (&second["id"], &second["type"], &second["name"]),
        (&"evt_2".into(), &"order.paid".into(), &"orders".into())
    );
    assert_eq!(
        (&first["id"], &first["type"], &first["duplicates"]),
        (&"evt_1".into(), &().into(), &1.into())
    );
    assert!(first["received_at"].as_str().unwrap().ends_with('Z'));

    let one = owner.get("/acme/received?limit=1").await.json();
    assert_eq!(one["received"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_limit_that_is_none_is_refused() {
    let house = House::new().await;
    let owner = house.replica.client.bearer(&house.acme.api_key);
    for query in [
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=x",
        "limit=",
        "limit=1&limit=2",
        "offset=3",
        "limit=99999999999",
    ] {
        let reply = owner.get(&format!("/acme/received?{query}")).await;
        assert_problem(&reply, 400, "invalid_query");
    }
    assert_eq!(owner.get("/acme/received?limit=0").await.json()["errors"][0]["field"], "limit");
    assert_eq!(owner.get("/acme/received?limit=100").await.status, 200);
}
