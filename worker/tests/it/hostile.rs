//! Endpoints that mean harm, or are broken: whatever they do is an attempt with an outcome, in time.

use std::time::Duration;

use trunkline_domain::AttemptOutcome;
use trunkline_testkit::{publish, seed_tenant};
use trunkline_worker::ceiling::Ceiling;

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
            "connection_error",
        ),
        case(
            "informational answers with much to say",
            "",
            Then::Repeat([b"HTTP/1.1 100 Continue\r\nx: ".as_slice(), &[b'y'; 30_000], b"\r\n\r\n"].concat()),
            "connection_error",
        ),
        case("chunks of one byte", &chunked, Then::Repeat(b"1\r\nx\r\n".repeat(500)), "succeeded"),
        case("empty lines", "", Then::Repeat(b"\r\n".repeat(1_000)), "connection_error"),
        case("a refusal's body", "HTTP/1.1 500 No\r\n\r\n", Then::Repeat(vec![b'x'; 4_096]), "rejected"),
    ])
    .await;
}

#[tokio::test]
async fn a_refusal_counts_whatever_becomes_of_its_body() {
    const LONG: &str = "content-length: 9999\r\n\r\nabc";
    each_comes_to_its_outcome(vec![
        case("broken off", format!("HTTP/1.1 500 No\r\n{LONG}"), Then::Close, "rejected"),
        case("silent", format!("HTTP/1.1 404 No\r\n{LONG}"), Then::Hold, "rejected"),
        case("dripping", format!("HTTP/1.1 429 No\r\n{LONG}"), Then::Drip(b"y".to_vec()), "rejected"),
        case(
            "of another size",
            "HTTP/1.1 413 No\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            Then::Close,
            "rejected",
        ),
    ])
    .await;
}

/// A reset that comes while the call is still being written must not hide what was answered.
#[tokio::test]
async fn an_answer_counts_that_comes_before_the_call_was_read() {
    let says = b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno".to_vec();
    let endpoint = RawEndpoint::hasty(says).await;
    let ceiling = Ceiling::new(&endpoint.url, 900_000, 1).unwrap();
    for _ in 0..30 {
        let attempt = ceiling.deliver().await;
        assert_eq!(attempt.outcome, AttemptOutcome::Rejected, "{:?}", attempt.error);
        assert_eq!((attempt.status_code, attempt.response_excerpt.as_slice()), (Some(413), b"no".as_slice()));
    }
}

#[tokio::test]
async fn a_reset_is_a_connection_error_wherever_it_comes() {
    for (name, says) in [
        ("before the answer", ""),
        ("in the head", "HTTP/1.1 200 OK\r\nx: "),
        ("in the body", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"),
    ] {
        let endpoint = RawEndpoint::resetting(says.into()).await;
        let attempt = Ceiling::new(&endpoint.url, 100, 1).unwrap().deliver().await;
        let error = attempt.error.as_deref().unwrap_or_default();
        assert_eq!(attempt.outcome, AttemptOutcome::ConnectionError, "{name}: {error}");
        assert!(error.contains("the connection broke"), "{name}: {error}");
    }
}

#[tokio::test]
async fn no_retry_after_breaks_anything() {
    let values: [&[u8]; 17] = [
        b"-1",
        b"99999999999999999999999999999",
        b"1.5",
        b"1e9",
        b"",
        b"soon",
        b"0x10",
        b"120, 240",
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Thu, 01 Jan 1960 00:00:00 GMT",
        b"Fri, 31 Dec 9999 23:59:59 GMT",
        b"Fri, 31 Dec 99999 23:59:59 GMT",
        b"Mon, 32 Foo 2030 25:61:61 GMT",
        b"\xff\xfe\xfd",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"120\r\nretry-after: soon",
        b"soon\r\nretry-after: 120",
    ];
    let cases = values.iter().map(|value| {
        let says =
            [b"HTTP/1.1 503 Later\r\ncontent-length: 0\r\nretry-after: ".as_slice(), value, b"\r\n\r\n"]
                .concat();
        case("Retry-After", says, Then::Close, "rejected")
    });
    let digits = [b"HTTP/1.1 429 Later\r\nretry-after: ".as_slice(), &[b'9'; 60_000], b"\r\n\r\n"].concat();
    let cases = cases.chain([case("Retry-After of 60,000 digits", digits, Then::Close, "rejected")]);
    each_comes_to_its_outcome(cases.collect()).await;
}

#[tokio::test]
async fn a_compressed_answer_is_kept_as_it_came() {
    // 10 KiB of gzip that would be 10 MiB of zeros.
    let body = [[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3].as_slice(), &[0; 10_000]].concat();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len());
    let says = [head.as_bytes(), &body].concat();
    let endpoint = RawEndpoint::start(Conduct { says, then: Then::Hold }).await;
    let attempt = Ceiling::new(&endpoint.url, 100, 1).unwrap().deliver().await;
    assert_eq!(attempt.outcome, AttemptOutcome::Succeeded, "{:?}", attempt.error);
    assert_eq!(attempt.response_excerpt, body[..4_096]);
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
        case("the first version", "<html>ok</html>", Then::Close, "connection_error"),
        case("a name with a space", "HTTP/1.1 200 OK\r\nx y: z\r\n\r\n", Then::Close, "connection_error"),
        case(
            "a length beyond all numbers",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\nab",
            Then::Close,
            "connection_error",
        ),
        case(
            "101 headers",
            format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(101)),
            Then::Hold,
            "connection_error",
        ),
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
