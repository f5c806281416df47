use std::time::{Duration, Instant};

use serde_json::json;
use trunkline_testkit::{OPERATOR_KEY, eventually};

use crate::house::{House, Replica, assert_problem};

#[tokio::test]
async fn switched_off_it_answers_503_at_once_and_records_nothing() {
    let house = House::new().await;
    assert_eq!(house.deliver("evt_0").await.status, 200, "the switch is in memory now");
    let owner = house.replica.client.bearer(&house.acme.api_key);
    let off = owner.post("/acme/disable", "").await;
    assert_eq!(off.status, 200);
    let status = json!({"tenant_id": "acme", "webhook_reception": "disabled", "all_tenants_reception": "enabled",
        "accepts_webhooks": false});
    assert_eq!(off.json(), status);
    assert_eq!(house.replica.client.get("/acme/status").await.json(), status);

    let refused = house.deliver("evt_1").await;
    assert_problem(&refused, 503, "reception_disabled");
    assert_eq!(refused.header("retry-after"), "1");
    assert_problem(&house.post("/acme/webhook", "{}", &[]).await, 503, "reception_disabled");
    assert_eq!(house.receipts().await, "1");

    assert_eq!(owner.post("/acme/enable", "").await.json()["accepts_webhooks"], true);
    let taken = house.deliver("evt_1").await;
    assert_eq!(
        taken.json(),
        json!({"status": "received", "tenant_id": "acme"}),
        "it was not recorded before"
    );
}

#[tokio::test]
async fn a_tenant_accepts_only_if_both_switches_are_on() {
    let house = House::new().await;
    let operator = house.replica.client.bearer(OPERATOR_KEY);
    for (own, all) in [(true, true), (true, false), (false, true), (false, false)] {
        let word = |on| if on { "enable" } else { "disable" };
        assert_eq!(operator.post(&format!("/acme/{}", word(own)), "").await.status, 200);
        let answer = operator.post(&format!("/{}", word(all)), "").await.json();
        assert_eq!(answer, json!({"webhook_reception": format!("{}d", word(all)), "accepts_webhooks": all}));
        assert_eq!(house.replica.client.get("/status").await.json(), answer);
        let status = house.replica.client.get("/acme/status").await.json();
        assert_eq!(status["webhook_reception"], format!("{}d", word(own)));
        assert_eq!(status["accepts_webhooks"], own && all);
        let delivered = house.deliver(&format!("evt_{own}_{all}")).await;
        assert_eq!(delivered.status, if own && all { 200 } else { 503 });
    }
}

#[tokio::test]
async fn it_survives_a_restart() {
    let mut house = House::new().await;
    let owner = house.replica.client.bearer(&house.acme.api_key);
    assert_eq!(owner.post("/acme/disable", "").await.status, 200);
    let next = Replica::start(&house.settings).await;
    std::mem::replace(&mut house.replica, next).stop().await;
    assert_problem(&house.deliver("evt_1").await, 503, "reception_disabled");
}

#[tokio::test]
async fn another_replica_sees_it_within_a_second() {
    let house = House::new().await;
    let second = Replica::start(&house.settings).await;
    let owner = house.replica.client.bearer(&house.acme.api_key);
    for (action, accepts) in [("disable", false), ("enable", true), ("disable", false)] {
        let before = second.client.get("/acme/status").await.json();
        assert_eq!(before["accepts_webhooks"], !accepts, "it has just read the old state");
        assert_eq!(owner.post(&format!("/acme/{action}"), "").await.status, 200);
        let switched = Instant::now();
        eventually("the second replica sees the switch", async || {
            let status = second.client.get("/acme/status").await.json();
            (status["accepts_webhooks"] == accepts).then_some(())
        })
        .await;
        assert!(switched.elapsed() < Duration::from_secs(1), "{:?}", switched.elapsed());
    }
}

#[tokio::test]
async fn who_switched_is_written_down() {
    let house = House::new().await;
    let owner = house.replica.client.bearer(&house.acme.api_key);
    let operator = house.replica.client.bearer(OPERATOR_KEY);
    assert_eq!(owner.post("/acme/disable", "").await.status, 200);
    assert_eq!(operator.post("/acme/enable", "").await.status, 200);
    assert_eq!(operator.post("/disable", "").await.status, 200);
    assert_eq!(operator.post("/enable", "").await.status, 200);
    assert!(owner.post("/enable", "").await.status >= 400, "and who may not switch is not");
    let written = "SELECT string_agg(concat_ws(' ', split_part(actor, ':', 1), action, coalesce(tenant_id, 'all')), ', ' ORDER BY audit_id)
                   FROM trunkline.audit";
    assert_eq!(
        house.database.text(written).await,
        "key reception.disable acme, operator reception.enable acme, operator reception.disable all, \
         operator reception.enable all"
    );
}
