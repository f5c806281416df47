//! A shorter retention of a tenant or type hides what is older at once, before anything is erased.

use serde_json::json;
use trunkline_testkit::Client;

use crate::house::{House, problem};

/// A dead letter of acme that came that many days ago; returns its id as the API shows it.
pub(crate) async fn dead_letter(house: &House, days_ago: u32, event_type: &str) -> String {
    let (lane, endpoint) = (house.acme.lane.number(), house.acme.endpoint_id.as_uuid());
    let partition = format!(
        "SELECT trunkline.create_partition(current_date - {days_ago}, current_date - {days_ago} + 1)
         WHERE NOT EXISTS (SELECT FROM trunkline.history_partitions WHERE from_day = current_date - {days_ago})"
    );
    house.database.execute(&partition).await;
    let sql = format!(
        "WITH event AS (
             INSERT INTO trunkline.events (lane, tenant_id, event_id, type, payload_sha256, payload_bytes, created_at, routed)
             SELECT {lane}, 'acme', trunkline.uuid_v7(at), '{event_type}', decode(repeat('00', 32), 'hex'), 2, at, true
             FROM (SELECT now() - {days_ago} * interval '1 day' AS at) AS time
             RETURNING *
         ), payload AS (
             INSERT INTO trunkline.payloads SELECT lane, tenant_id, event_id, convert_to('{{}}', 'UTF8') FROM event
         ), delivery AS (
             INSERT INTO trunkline.deliveries (lane, tenant_id, event_id, endpoint_id, status, attempts, cycle_attempts,
                 last_attempt_at, created_at, finished_at)
             SELECT lane, tenant_id, event_id, '{endpoint}', 'FAILED', 1, 1, created_at, created_at, created_at FROM event
         )
         SELECT 'evt_' || replace(event_id::text, '-', '') FROM event"
    );
    house.database.text(&sql).await
}

async fn shown(client: &Client) -> usize {
    let events = client.get("/v1/events").await.json()["events"].as_array().unwrap().len();
    let failed = client.get("/v1/events?status=FAILED").await.json()["events"].as_array().unwrap().len();
    let dead = client.get("/v1/dead-letters").await.json()["dead_letters"].as_array().unwrap().len();
    let exported = client.get("/v1/events/export").await;
    let exported = exported.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    assert_eq!((events, events, events), (failed, dead, exported));
    events
}

async fn is_hidden(house: &House, id: &str) {
    let path = format!("/v1/events/{id}");
    problem(&house.client.get(&path).await, 404, "event_not_found");
    problem(&house.client.get(&format!("{path}/attempts")).await, 404, "event_not_found");
    problem(&house.client.get(&format!("{path}/explain")).await, 404, "event_not_found");
    problem(&house.client.post(&format!("{path}/retry"), "").await, 404, "event_not_found");
    problem(&house.client.delete(&path).await, 404, "event_not_found");
}

#[tokio::test]
async fn what_is_past_its_tenants_retention_is_hidden_at_once_and_shown_again_if_it_is_lengthened() {
    let house = House::new().await;
    let old = dead_letter(&house, 20, "kind").await;
    let young = dead_letter(&house, 5, "kind").await;
    assert_eq!(shown(&house.client).await, 2);
    let changed = house.client.patch("/v1/tenants/current", r#"{"retention_days":10}"#).await;
    assert_eq!(changed.status, 200, "{:?}", changed.body);
    assert_eq!(changed.json()["message"], "retention_days updated.");
    assert_eq!(changed.json()["tenant"]["retention_days"], 10);
    assert_eq!(shown(&house.client).await, 1);
    is_hidden(&house, &old).await;
    assert_eq!(house.client.get(&format!("/v1/events/{young}")).await.status, 200);
    assert_eq!(house.database.text("SELECT count(*) FROM trunkline_read.events").await, "1");
    assert_eq!(house.database.text("SELECT count(*) FROM trunkline_read.dead_letters").await, "1");
    // Nothing of it was retried, and nothing is erased yet.
    let untouched = "SELECT count(*) FROM trunkline.deliveries WHERE status = 'FAILED'";
    assert_eq!(house.database.text(untouched).await, "2");
    assert_eq!(house.client.patch("/v1/tenants/current", r#"{"retention_days":null}"#).await.status, 200);
    assert_eq!(shown(&house.client).await, 2);
}

#[tokio::test]
async fn a_type_may_be_kept_for_a_shorter_time_than_others() {
    let house = House::new().await;
    let fleeting = dead_letter(&house, 5, "fleeting").await;
    dead_letter(&house, 5, "lasting").await;
    let described = house.client.put("/v1/event-types/fleeting", r#"{"retention_days":2}"#).await;
    assert_eq!(described.status, 201, "{:?}", described.body);
    assert_eq!(described.json()["event_type"]["retention_days"], 2);
    assert_eq!(shown(&house.client).await, 1);
    is_hidden(&house, &fleeting).await;
    let views = "SELECT concat_ws(' ', (SELECT count(*) FROM trunkline_read.events), (SELECT count(*) FROM trunkline_read.deliveries))";
    assert_eq!(house.database.text(views).await, "1 1");
}

#[tokio::test]
async fn a_retention_is_one_to_3650_days() {
    let house = House::new().await;
    for days in ["0", "3651", "-1", "1.5", "\"7\""] {
        let body = format!("{{\"retention_days\":{days}}}");
        assert_eq!(house.client.patch("/v1/tenants/current", body.clone()).await.status, 422, "{days}");
        assert_eq!(house.client.put("/v1/event-types/kind", body).await.status, 422, "{days}");
    }
    let nothing = house.client.patch("/v1/tenants/current", "{}").await;
    assert_eq!((nothing.status, nothing.json()["errors"][0]["field"].clone()), (422, json!("target_url")));
}
