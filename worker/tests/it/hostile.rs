//! Endpoints that mean harm, or are broken: whatever they do is an attempt with an outcome, in time.

use std::time::Duration;

use trunkline_testkit::{publish, seed_tenant};

use crate::house::{House, millis};
use crate::raw_endpoint::{Conduct, RawEndpoint, Then};

/// Long enough for a bound to be reached before it, on a machine that is busy.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What a delivery to such an endpoint comes to.
struct Case {
    name: &'static str,
    says: Vec<u8>,
    then: Then,
    outcome: &'static str,
}

fn case(name: &'static str, says: impl AsRef<[u8]>, then: Then, outcome: &'static str) -> Case {
    Case { name, says: says.as_ref().to_vec(), then, outcome }
}

/// All of them at once, each a tenant's own, so that a worker that one takes down fails the others as well.
async fn each_comes_to_its_outcome(cases: Vec<Case>) {
    let house = House::with(|settings| {
        settings.delivery.timeout = TIMEOUT;
        settings.delivery.retry_schedule = vec![millis(3_600_000)];
    })
    .await;
    let worker = house.worker().await;
    let mut published = Vec::new();
    for (number, case) in cases.into_iter().enumerate() {
        let endpoint = RawEndpoint::start(Conduct { says: case.says, then: case.then }).await;
        let tenant_id = format!("hostile-{number}");
        let tenant = seed_tenant(&house.database, &house.settings, &tenant_id, &endpoint.url).await;
        let event_id = publish(&house.database, &tenant, "{}").await;
        published.push((case.name, case.outcome, event_id));
    }
    for (name, outcome, event_id) in published {
        let status = if outcome == "succeeded" { "DELIVERED" } else { "FAILED" };
        house.until(event_id, status).await;
        assert_eq!(house.outcomes(event_id).await, outcome, "{name}");
        let of_event = format!("FROM trunkline.attempts WHERE event_id = '{}'", event_id.as_uuid());
        let took = house.database.text(&format!("SELECT max(duration_ms) {of_event}")).await;
        assert!(
            u128::from(took.parse::<u64>().unwrap()) < TIMEOUT.as_millis() + 500,
            "{name} took {took} ms"
        );
        let kept =
            house.database.text(&format!("SELECT max(octet_length(response_excerpt)) {of_event}")).await;
        assert!(kept.is_empty() || kept.parse::<usize>().unwrap() <= 4_096, "{name} left {kept} bytes");
    }
    // It still works for everyone else.
    let good = house.publish("{}").await;
    house.until(good, "DELIVERED").await;
    worker.stop().await;
}

#[tokio::test]
async fn an_endless_answer_is_not_followed_to_its_end() {
    const OK: &str = "HTTP/1.1 200 OK\r\n";
    let chunked = format!("{OK}transfer-encoding: chunked\r\n\r\n");
    let chunk = [b"1000\r\n".as_slice(), &[b'x'; 4_096], b"\r\n"].concat();
    each_comes_to_its_outcome(vec![
        case("headers", OK, Then::Repeat(b"x: y\r\n".repeat(200)), "connection_error"),
        case("one header", "HTTP/1.1 200 OK\r\nx: ", Then::Repeat(vec![b'y'; 4_096]), "connection_error"),
        case("reason", "HTTP/1.1 200 ", Then::Repeat(vec![b'y'; 4_096]), "connection_error"),
        case("chunked body", &chunked, Then::Repeat(chunk), "succeeded"),
        case("body up to the end", format!("{OK}\r\n"), Then::Repeat(vec![b'x'; 4_096]), "succeeded"),
        case("chunk extension", &chunked, Then::Repeat(vec![b';'; 4_096]), "connection_error"),
        case(
            "trailers",
            format!("{chunked}0\r\n"),
            Then::Repeat(b"x: y\r\n".repeat(200)),
            "connection_error",
        ),
        case(
            "informational answers",
            "",
            Then::Repeat(b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100)),
            "timeout",
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_slow_answer_ends_at_the_deadline() {
    each_comes_to_its_outcome(vec![
        case("silence", "", Then::Hold, "timeout"),
        case("half a head", "HTTP/1.1 200 OK\r\nx: y", Then::Hold, "timeout"),
        case("dripping head", "HTTP/1.1 200 OK\r\nx: ", Then::Drip(b"y".to_vec()), "timeout"),
        case(
            "dripping body",
            "HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n",
            Then::Drip(b"y".to_vec()),
            "timeout",
        ),
        case(
            "dripping chunks",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            Then::Drip(b"1\r\ny\r\n".to_vec()),
            "timeout",
        ),
        case("half a body", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", Then::Hold, "timeout"),
    ])
    .await;
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_a_connection_error() {
    each_comes_to_its_outcome(vec![
        case("nothing", "", Then::Close, "connection_error"),
        case("another protocol", "SSH-2.0-OpenSSH_9.2\r\n", Then::Hold, "connection_error"),
        case("zeros", [0; 512], Then::Hold, "connection_error"),
        case("high bytes", [0xff; 512], Then::Hold, "connection_error"),
        case("a later version", "HTTP/3.7 200 OK\r\n\r\n", Then::Close, "connection_error"),
        case("no status", "HTTP/1.1 abc OK\r\n\r\n", Then::Close, "connection_error"),
        case("half a head", "HTTP/1.1 200 OK\r\nx", Then::Close, "connection_error"),
        case(
            "half a body",
            "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
            Then::Close,
            "connection_error",
        ),
        case(
            "two lengths",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            Then::Close,
            "connection_error",
        ),
        case(
            "a negative length",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            Then::Close,
            "connection_error",
        ),
        case(
            "a chunk beyond all numbers",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
            Then::Hold,
            "connection_error",
        ),
        case("a control character", "HTTP/1.1 200 OK\r\nx: \u{0}y\r\n\r\n", Then::Close, "connection_error"),
        case(
            "another protocol by agreement",
            "HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n",
            Then::Hold,
            "rejected",
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_comes_after_an_answer_answers_no_other_call() {
    let house = House::new().await;
    let says =
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n";
    let endpoint = RawEndpoint::start(Conduct { says: says.to_vec(), then: Then::Listen }).await;
    let tenant = seed_tenant(&house.database, &house.settings, "smuggler", &endpoint.url).await;
    let worker = house.worker().await;
    for _ in 0..3 {
        let event_id = publish(&house.database, &tenant, "{}").await;
        house.until(event_id, "DELIVERED").await;
        assert_eq!(house.outcomes(event_id).await, "succeeded");
    }
    assert_eq!(endpoint.connections(), 3, "each call has a connection that nothing was said on");
    worker.stop().await;
}
