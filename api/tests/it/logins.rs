//! Failed logins are throttled by address; good keys are not.

use http::Method;
use trunkline_testkit::{Client, OPERATOR_KEY, Reply};

use crate::house::{House, problem};

/// Behind a load balancer on loopback.
async fn house() -> House {
    House::with(|settings| settings.clients.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]).await
}

async fn from(client: &Client, address: &str, path: &str) -> Reply {
    client.send(Method::GET, path, "", &[("x-forwarded-for", address)]).await
}

/// Sends keys that are none until it is told to wait, and returns how many it took.
async fn fail(house: &House, address: &str) -> usize {
    for count in 0..100 {
        let reply = from(&house.anyone.bearer("no-key-of-anyone"), address, "/v1/events").await;
        if reply.status == 429 {
            problem(&reply, 429, "too_many_failed_logins");
            let wait: u64 = reply.header("retry-after").parse().unwrap();
            assert!((1..=3).contains(&wait), "{wait}");
            return count;
        }
        problem(&reply, 401, "unauthenticated");
    }
    panic!("never told to wait");
}

#[tokio::test]
async fn after_twenty_wrong_keys_an_address_must_wait_and_others_need_not() {
    let house = house().await;
    // One more is let pass every three seconds: a slow machine gets in a few.
    let passed = fail(&house, "203.0.113.9").await;
    assert!((20..30).contains(&passed), "{passed}");
    let wrong = house.anyone.bearer("no-key-of-anyone");
    problem(&from(&wrong, "203.0.113.10", "/v1/events").await, 401, "unauthenticated");
    // What a client writes itself stands before what the balancer adds.
    problem(&from(&wrong, "203.0.113.10, 203.0.113.9", "/v1/events").await, 429, "too_many_failed_logins");
    let anonymous = from(&house.anyone, "203.0.113.9", "/v1/events").await;
    problem(&anonymous, 401, "unauthenticated");
    assert_eq!(from(&house.anyone, "203.0.113.9", "/v1/openapi.json").await.status, 200);
}

#[tokio::test]
async fn a_good_key_is_let_in_from_such_an_address_and_an_operators_is_not() {
    let house = house().await;
    fail(&house, "203.0.113.9").await;
    // Seen for the first time, so that it must be looked up.
    assert_eq!(from(&house.client, "203.0.113.9", "/v1/events").await.status, 200);
    let unknown = trunkline_vault::ApiKey::from_random([9; 32]);
    let unknown = from(&house.anyone.bearer(unknown.expose()), "203.0.113.9", "/v1/events").await;
    problem(&unknown, 429, "too_many_failed_logins");
    let operator = house.anyone.bearer(OPERATOR_KEY);
    problem(&from(&operator, "203.0.113.9", "/v1/tenants").await, 429, "too_many_failed_logins");
    assert_eq!(from(&operator, "203.0.113.10", "/v1/tenants").await.status, 200);
}

#[tokio::test]
async fn whoever_is_no_trusted_proxy_cannot_say_who_it_is() {
    let house = House::new().await;
    for count in 0..100 {
        let address = format!("203.0.113.{count}");
        let reply = from(&house.anyone.bearer("no-key-of-anyone"), &address, "/v1/events").await;
        if reply.status == 429 {
            assert!(count >= 20, "{count}");
            return;
        }
    }
    panic!("the addresses it made up were believed");
}

#[tokio::test]
async fn without_a_limit_nobody_waits() {
    let house = House::with(|settings| settings.clients.failed_logins_per_minute = 0).await;
    for _ in 0..50 {
        let reply = house.anyone.bearer("no-key-of-anyone").get("/v1/events").await;
        problem(&reply, 401, "unauthenticated");
    }
}
