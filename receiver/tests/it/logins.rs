use http::Method;
use trunkline_testkit::{OPERATOR_KEY, Reply};

use crate::house::{House, assert_problem};

async fn post(house: &House, path: &str, key: &str, address: &str) -> Reply {
    let headers = [("x-forwarded-for", address)];
    house.replica.client.bearer(key).send(Method::POST, path, "", &headers).await
}

#[tokio::test]
async fn wrong_keys_are_throttled_by_address_at_every_switch_and_good_ones_are_not() {
    let house = House::with(|settings| {
        settings.clients.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let paths = ["/acme/enable", "/acme/disable", "/enable", "/disable"];
    let mut passed = 0;
    let refused = loop {
        let reply = post(&house, paths[passed % 4], "no-key-of-anyone", "203.0.113.9").await;
        if reply.status == 429 {
            break reply;
        }
        assert_problem(&reply, 401, "unauthenticated");
        passed += 1;
        assert!(passed < 100, "never told to wait");
    };
    assert_problem(&refused, 429, "too_many_failed_logins");
    assert!((1..=3).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
    assert!((20..30).contains(&passed), "{passed}");
    assert_eq!(post(&house, "/acme/disable", &house.acme.api_key, "203.0.113.9").await.status, 200);
    assert_problem(
        &post(&house, "/enable", OPERATOR_KEY, "203.0.113.9").await,
        429,
        "too_many_failed_logins",
    );
    assert_eq!(post(&house, "/enable", OPERATOR_KEY, "203.0.113.10").await.status, 200);
    let webhook = house.deliver("evt_1").await;
    assert_problem(&webhook, 503, "reception_disabled");
}
