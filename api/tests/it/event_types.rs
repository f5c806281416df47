//! Types described, some with a schema.

use serde_json::json;

use crate::house::{Door, House, problem};

#[tokio::test]
async fn a_type_is_described_shown_listed_described_anew_and_forgotten() {
    let house = House::new().await;
    let schema = json!({"type": "object", "required": ["id"]});
    let path = "/v1/event-types/order.created";
    let body = json!({"description": "An order was placed.", "schema": schema, "enforced": true}).to_string();
    let created = house.client.put(path, body).await;
    assert_eq!(created.status, 201);
    let created = created.json()["event_type"].clone();
    assert_eq!(
        (&created["type"], &created["schema"], &created["enforced"]),
        (&json!("order.created"), &schema, &json!(true))
    );
    assert_eq!(house.client.get(path).await.json()["event_type"], created);

    let replaced = house.client.put(path, r#"{"description":"Else."}"#).await;
    assert_eq!(replaced.status, 200);
    let replaced = replaced.json()["event_type"].clone();
    assert_eq!(
        (&replaced["schema"], &replaced["enforced"]),
        (&json!(null), &json!(false)),
        "what is absent is forgotten"
    );
    assert_eq!(replaced["created_at"], created["created_at"]);

    assert_eq!(house.client.delete(path).await.status, 204);
    problem(&house.client.get(path).await, 404, "event_type_not_found");
    problem(&house.client.delete(path).await, 404, "event_type_not_found");
}

#[tokio::test]
async fn types_are_listed_in_pages_without_schemas_and_any_type_can_stand_in_a_path() {
    let house = House::new().await;
    for name in ["b", "B", "urn:x%2Fy%3Fz%25"] {
        let described = r#"{"schema":{},"retention_days":7}"#;
        let reply = house.client.put(&format!("/v1/event-types/{name}"), described).await;
        assert_eq!(reply.status, 201, "{name}");
    }
    let first = house.client.get("/v1/event-types?limit=2").await;
    assert!(first.header("link").contains("rel=\"next\""));
    let first = first.json();
    let names = |page: &serde_json::Value| -> Vec<String> {
        let types = page["event_types"].as_array().unwrap().iter();
        types.map(|one| one["type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&first), ["B", "b"]);
    assert_eq!(
        (&first["event_types"][0]["has_schema"], first["event_types"][0].get("schema")),
        (&json!(true), None)
    );
    assert_eq!(first["event_types"][0]["retention_days"], 7);
    let token = first["next_token"].as_str().unwrap();
    let rest = house.client.get(&format!("/v1/event-types?limit=2&next_token={token}")).await.json();
    assert_eq!((names(&rest), rest.get("next_token")), (vec!["urn:x/y?z%".to_owned()], None));
    assert_eq!(house.client.get("/v1/event-types/urn:x%2Fy%3Fz%25").await.status, 200);
    let (_, globex) = house.tenant("globex").await;
    problem(&globex.get("/v1/event-types/b").await, 404, "event_type_not_found");
    problem(&globex.delete("/v1/event-types/b").await, 404, "event_type_not_found");
    assert_eq!(globex.get("/v1/event-types").await.json()["total_count"], 0);
}

#[tokio::test]
async fn a_description_that_is_none_is_refused() {
    let house = House::new().await;
    let path = "/v1/event-types/t";
    for body in [
        json!({"enforced": true}),
        json!({"schema": {"type": "strange"}}),
        json!({"schema": 7}),
        json!({"schema": {"$ref": "https://example.com/schema.json"}}),
        json!({"schema": {"properties": {"child": {"$ref": "#"}}}}),
        json!({"description": "x".repeat(501)}),
    ] {
        problem(&house.client.put(path, body.to_string()).await, 422, "invalid_field");
    }
    problem(&house.client.put(path, r#"{"type":"t"}"#).await, 422, "invalid_body");
    problem(&house.client.put("/v1/event-types/two%20words", "{}").await, 422, "invalid_field");
    let long = json!({"schema": {"description": "x".repeat(100_000)}}).to_string();
    problem(&house.client.put(path, long).await, 413, "body_too_large");
    problem(&house.client.put("/v1/event-types/t?x=1", "{}").await, 400, "invalid_query");
    problem(&house.client.get(path).await, 404, "event_type_not_found");
}

#[tokio::test]
async fn an_enforced_schema_refuses_what_does_not_fit_naming_each_place() {
    let house = House::new().await;
    let replica = Door::start(&house.settings).await;
    let there = trunkline_testkit::Client::local(replica.port).bearer(&house.acme.api_key);
    let (fits, fits_not) = (r#"{"type":"order","id":1}"#, r#"{"type":"order","id":"canary"}"#);
    assert_eq!(house.client.post("/v1/events", fits_not).await.status, 201);
    assert_eq!(there.post("/v1/events", fits_not).await.status, 201);
    let schema = json!({"required": ["id"], "properties": {"id": {"type": "integer"}}});
    let body = json!({"schema": schema, "enforced": true}).to_string();
    assert_eq!(house.client.put("/v1/event-types/order", body).await.status, 201);

    let refused = house.client.post("/v1/events", fits_not).await;
    let refused_body = problem(&refused, 422, "schema_violation");
    assert_eq!(refused_body["errors"][0]["field"], "/id", "here at once");
    assert!(!String::from_utf8_lossy(&refused.body).contains("canary"));
    let before = house.stored().await;
    trunkline_testkit::eventually("the other replica asks too", async || {
        (there.post("/v1/events", fits_not).await.status == 422).then_some(())
    })
    .await;
    assert_eq!(house.client.post("/v1/events", fits).await.status, 201);
    assert_eq!(house.client.post("/v1/events", r#"{"type":"other","id":"x"}"#).await.status, 201);
    assert_ne!(house.stored().await, before);

    assert_eq!(house.client.delete("/v1/event-types/order").await.status, 204);
    assert_eq!(house.client.post("/v1/events", fits_not).await.status, 201);
    replica.stop().await;
}

#[tokio::test]
async fn an_enforced_schema_refuses_a_batch_and_names_the_item() {
    let house = House::new().await;
    let body = json!({"schema": {"properties": {"id": {"type": "integer"}}}, "enforced": true}).to_string();
    assert_eq!(house.client.put("/v1/event-types/order", body).await.status, 201);
    let before = house.stored().await;
    let batch = r#"{"events":[{"payload":{}},{"type":"order","payload":{"id":"x"}}]}"#;
    let refused = problem(&house.client.post("/v1/events/batch", batch).await, 422, "schema_violation");
    let fields = refused["errors"].as_array().unwrap().clone();
    assert!(fields.iter().any(|one| one["field"] == "events[1].payload/id"), "{fields:?}");
    assert_eq!(house.stored().await, before);
}
