//! Whatever a client sends, over a real socket to a real process: a 4xx, no panic, nothing stored, no memory, and nothing that
//! the database could not take.

use trunkline_testkit::{
    OPERATOR_KEY, Program, SeededTenant, TestDatabase, Then, exchange, seed_tenant, settings,
};

use crate::described::{TEXTS, VALUES};

const EXECUTABLE: &str = env!("CARGO_BIN_EXE_trunkline-api");

/// What bad input may cost in memory.
const GROWTH_KIB_MAX: u64 = 64 * 1024;

struct House {
    database: TestDatabase,
    acme: SeededTenant,
    program: Program,
}

impl House {
    async fn new() -> Self {
        let database = TestDatabase::new().await;
        let acme = seed_tenant(&database, &settings(&database), "acme", "http://127.0.0.1:9999/hook").await;
        let limits = [
            ("TRUNKLINE__CLIENTS__HEAD_TIMEOUT", "1s"),
            ("TRUNKLINE__CLIENTS__BODY_TIMEOUT", "1s"),
            ("TRUNKLINE__CLIENTS__IDLE_TIMEOUT", "1s"),
            ("TRUNKLINE__OPERATOR__KEYS", OPERATOR_KEY),
            ("TRUNKLINE__INGEST__RATE_PER_TENANT", "0"),
        ];
        let program = Program::start(EXECUTABLE, "api", &database, &limits).await;
        Self { database, acme, program }
    }

    async fn send(&self, bytes: &[u8], then: Then) -> Option<u16> {
        exchange(self.program.port, bytes, then).await
    }

    /// A request with a good key.
    fn request(&self, line: &str, headers: &str, body: &[u8]) -> Vec<u8> {
        let key = if line.contains(" /v1/tenants") && !line.contains("current") {
            OPERATOR_KEY
        } else {
            &self.acme.api_key
        };
        let head = format!("{line} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n{headers}\r\n");
        [head.as_bytes(), body].concat()
    }

    fn json(&self, line: &str, body: &[u8]) -> Vec<u8> {
        let headers = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
        self.request(line, &headers, body)
    }

    /// How many rows there are of everything that a tenant can make.
    async fn stored(&self) -> String {
        let tables = [
            "events",
            "payloads",
            "deliveries",
            "idempotency_keys",
            "ordering_keys",
            "tenants",
            "endpoints",
            "endpoint_secrets",
            "api_keys",
            "event_types",
            "replays",
            "erasures",
        ];
        let counts = tables.map(|table| format!("(SELECT count(*) FROM trunkline.{table})"));
        self.database.text(&format!("SELECT concat_ws(' ', {})", counts.join(", "))).await
    }

    /// Holds that nothing came of it.
    async fn is_unharmed(&self, stored: &str, memory_kib: u64) {
        assert_eq!(self.stored().await, stored);
        let good = self.request("GET /v1/tenants/current", "", b"");
        assert_eq!(self.send(&good, Then::Wait).await, Some(200), "it still serves");
        let log = self.program.log();
        let cry = log.iter().find(|line| line.contains("panicked") || line.contains("\"ERROR\""));
        assert_eq!(cry, None);
        assert_eq!(self.database.complaints(), Vec::<String>::new());
        let growth = self.program.memory_kib().1.saturating_sub(memory_kib);
        assert!(growth <= GROWTH_KIB_MAX, "{growth} KiB");
    }

    /// Memory once everything is there that a first request makes.
    async fn memory(&self) -> u64 {
        let good = self.request("GET /v1/events", "", b"");
        assert_eq!(self.send(&good, Then::Wait).await, Some(200));
        self.program.memory_kib().0
    }
}

#[tokio::test]
async fn broken_framing_gets_a_4xx() {
    let house = House::new().await;
    let (stored, memory) = (house.stored().await, house.memory().await);
    let post = |headers: &str, body: &[u8]| {
        house.request("POST /v1/events", &format!("content-type: application/json\r\n{headers}"), body)
    };
    let headers =
        |count: usize| -> String { (0..count).map(|number| format!("x-{number}: y\r\n")).collect() };
    let long = "a".repeat(200 * 1024);
    let vectors: Vec<(&str, Vec<u8>, Then, u16)> = vec![
        ("garbage", b"GARBAGE\r\n\r\n".to_vec(), Then::Wait, 400),
        ("binary", vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, b'\r', b'\n', b'\r', b'\n'], Then::Wait, 400),
        ("no version", b"GET /v1/events\r\n\r\n".to_vec(), Then::Wait, 400),
        ("HTTP/3.7", b"GET / HTTP/3.7\r\n\r\n".to_vec(), Then::Wait, 400),
        ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), Then::Wait, 400),
        ("no method", b" / HTTP/1.1\r\n\r\n".to_vec(), Then::Wait, 400),
        ("method of odd characters", b"G(T / HTTP/1.1\r\n\r\n".to_vec(), Then::Wait, 400),
        ("blank in the target", b"GET /v1/ev ents HTTP/1.1\r\n\r\n".to_vec(), Then::Wait, 400),
        ("NUL in the target", b"GET /v1/\0 HTTP/1.1\r\n\r\n".to_vec(), Then::Wait, 400),
        ("header without a colon", b"GET / HTTP/1.1\r\nhost\r\n\r\n".to_vec(), Then::Wait, 400),
        ("header without a name", b"GET / HTTP/1.1\r\n: x\r\n\r\n".to_vec(), Then::Wait, 400),
        ("blank before the colon", post("content-length : 2\r\n", b"{}"), Then::Wait, 400),
        ("folded header", post("x: a\r\n b\r\ncontent-length: 2\r\n", b"{}"), Then::Wait, 400),
        ("NUL in a header", post("x: a\0b\r\ncontent-length: 2\r\n", b"{}"), Then::Wait, 400),
        ("CR in a header", post("x: a\rb\r\ncontent-length: 2\r\n", b"{}"), Then::Wait, 400),
        ("two lengths", post("content-length: 2\r\ncontent-length: 3\r\n", b"{}"), Then::Wait, 400),
        (
            "length and chunks",
            post("transfer-encoding: chunked\r\ncontent-length: 2\r\n", b"0\r\n\r\n"),
            Then::Wait,
            400,
        ),
        ("negative length", post("content-length: -2\r\n", b"{}"), Then::Wait, 400),
        ("signed length", post("content-length: +2\r\n", b"{}"), Then::Wait, 400),
        ("hexadecimal length", post("content-length: 0x2\r\n", b"{}"), Then::Wait, 400),
        ("endless length", post("content-length: 99999999999999999999999\r\n", b"{}"), Then::Wait, 400),
        ("list of lengths", post("content-length: 2, 2\r\n", b"{}"), Then::Wait, 400),
        ("unknown coding", post("transfer-encoding: gzip\r\n", b"{}"), Then::End, 400),
        (
            "chunked is not last",
            post("transfer-encoding: chunked, gzip\r\n", b"2\r\n{}\r\n0\r\n\r\n"),
            Then::End,
            400,
        ),
        (
            "chunk of no size",
            post("transfer-encoding: chunked\r\n", b"zz\r\n{}\r\n0\r\n\r\n"),
            Then::Wait,
            400,
        ),
        (
            "chunk of endless size",
            post("transfer-encoding: chunked\r\n", b"ffffffffffffffffff\r\n{}"),
            Then::Wait,
            400,
        ),
        (
            "chunk longer than its size",
            post("transfer-encoding: chunked\r\n", b"1\r\n{}\r\n0\r\n\r\n"),
            Then::Wait,
            400,
        ),
        ("chunks that end early", post("transfer-encoding: chunked\r\n", b"8\r\n{}"), Then::End, 400),
        ("body that ends early", post("content-length: 10\r\n", b"{}"), Then::End, 400),
        ("head that ends early", b"POST /v1/events HTTP/1.1\r\nhost: x\r\n".to_vec(), Then::Wait, 408),
        ("head that drips", b"GET /v1/events HTTP/1.1\r\nx: ".to_vec(), Then::Drip(b'a'), 408),
        ("body that does not come", post("content-length: 10\r\n", b"{"), Then::Wait, 408),
        ("body that drips", post("content-length: 200000\r\n", b"{"), Then::Drip(b' '), 408),
        ("chunks that drip", post("transfer-encoding: chunked\r\n", b"30000\r\n{"), Then::Drip(b' '), 408),
        (
            "another route's body that does not come",
            house.request(
                "POST /v1/endpoints",
                "content-type: application/json\r\ncontent-length: 10\r\n",
                b"{",
            ),
            Then::Wait,
            408,
        ),
        (
            "another route's body that ends early",
            house.request(
                "POST /v1/endpoints",
                "content-type: application/json\r\ncontent-length: 10\r\n",
                b"{",
            ),
            Then::End,
            400,
        ),
        ("97 headers", house.request("GET /v1/events", &headers(95), b""), Then::Wait, 431),
        ("10,000 headers", house.request("GET /v1/events", &headers(10_000), b""), Then::Wait, 431),
        ("one long header", house.request("GET /v1/events", &format!("x: {long}\r\n"), b""), Then::Wait, 431),
        ("endless head", b"GET / HTTP/1.1\r\nx: ".repeat(20_000), Then::Wait, 431),
        ("long target", house.request(&format!("GET /v1/events?type={long}"), "", b""), Then::Wait, 431),
        ("announced too large", post("content-length: 1000000000000\r\n", b"{"), Then::Wait, 413),
        (
            "announced too large, waits for leave",
            post("expect: 100-continue\r\ncontent-length: 1000000000000\r\n", b""),
            Then::Wait,
            413,
        ),
        ("sent too large", post("content-length: 262145\r\n", &vec![b' '; 262_145]), Then::Wait, 413),
        (
            "endless chunks",
            post(
                "transfer-encoding: chunked\r\n",
                &b"1000\r\n"
                    .iter()
                    .chain(&[b' '; 4096])
                    .chain(b"\r\n")
                    .copied()
                    .collect::<Vec<_>>()
                    .repeat(100),
            ),
            Then::Wait,
            413,
        ),
        (
            "of another type",
            post("content-type: text/plain\r\ncontent-length: 2\r\n", b"{}")
                .replace_once("content-type: application/json\r\n"),
            Then::Wait,
            415,
        ),
        ("inflated", post("content-encoding: gzip\r\ncontent-length: 2\r\n", b"{}"), Then::Wait, 415),
        (
            "in UTF-16",
            house.request(
                "POST /v1/events",
                "content-type: application/json; charset=utf-16\r\ncontent-length: 4\r\n",
                b"{\0}\0",
            ),
            Then::Wait,
            415,
        ),
    ];
    for (what, bytes, then, expected) in vectors {
        assert_eq!(house.send(&bytes, then).await, Some(expected), "{what}");
    }
    // The most headers that are taken.
    assert_eq!(house.send(&house.request("GET /v1/events", &headers(94), b""), Then::Wait).await, Some(200));
    // Whoever sends nothing at all is left without an answer.
    assert_eq!(house.send(b"", Then::Wait).await.unwrap_or(408), 408);
    house.is_unharmed(&stored, memory).await;
}

trait ReplaceOnce {
    fn replace_once(self, gone: &str) -> Self;
}

impl ReplaceOnce for Vec<u8> {
    /// Leaves out the first occurrence.
    fn replace_once(self, gone: &str) -> Self {
        String::from_utf8(self).unwrap().replacen(gone, "", 1).into_bytes()
    }
}

#[tokio::test]
async fn json_that_is_none_by_our_rules_is_422() {
    let house = House::new().await;
    let (stored, memory) = (house.stored().await, house.memory().await);
    let deep = |open: &str, close: &str, levels: usize| {
        format!("{{\"a\":{}{}}}", open.repeat(levels), close.repeat(levels)).into_bytes()
    };
    let mut payloads: Vec<Vec<u8>> = [
        "",
        " ",
        "\0",
        "null",
        "true",
        "1",
        "\"x\"",
        "[]",
        "[{}]",
        "{}{}",
        "{},",
        "{} x",
        "{",
        "}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1}//",
        "/**/{}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":-Infinity}",
        "{\"a\":undefined}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":+1}",
        "{\"a\":1e}",
        "{\"a\":--1}",
        "{\"a\":-}",
        "{\"a\":0x1}",
        "{\"a\":1_0}",
        "{\"a\":True}",
        "{\"a\":nul}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\0\"}",
        "{\"a\":\"\t\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\udc00\"}",
        "{\"a\":\"\\udc00\\ud800\"}",
        "{\"a\":\"\\ud800\\ud800\"}",
        "{\"a\":\"\\ud800x\"}",
        "{\"\\ud800\":1}",
        "{\"a\":\"",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "{\"\\u0061\":1,\"\\u0061\":2}",
        "{\"b\":{\"a\":1,\"b\":2,\"a\":3}}",
        "{\"b\":[{\"\":1,\"\":2}]}",
        "{\"\\ud83d\\ude00\":1,\"😀\":2}",
        "\u{feff}{}",
        "{\u{a0}}",
        "{}\u{2028}",
        "{\"type\":\"two words\"}",
        "{\"type\":\"\"}",
        "{\"event\":\"n\\u0000l\"}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    payloads.extend([
        b"{\"a\":\"\xff\"}".to_vec(),
        b"{\"a\":\"\xc0\x80\"}".to_vec(),
        b"{\"a\":\"\xed\xa0\x80\"}".to_vec(),
        b"{\"a\":\"\xf4\x90\x80\x80\"}".to_vec(),
        b"{\"a\":\"\xe2\x82\"}".to_vec(),
        b"{\"\xff\":1}".to_vec(),
        b"\xff\xfe{\0}\0".to_vec(),
        b"{\0}\0".to_vec(),
        deep("[", "]", 64),
        deep("{\"a\":", "}", 64),
        deep("[", "", 100_000),
        deep("{\"a\":", "", 40_000),
        b"[".repeat(262_144),
    ]);
    for payload in payloads {
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(60)]).into_owned();
        assert_eq!(
            house.send(&house.json("POST /v1/events", &payload), Then::Wait).await,
            Some(422),
            "{shown:?}"
        );
        // As one item of a batch, and as what is only tried out.
        let batch = [b"{\"events\":[{\"payload\":{}},{\"payload\":".as_slice(), &payload, b"}]}"].concat();
        let status = house.send(&house.json("POST /v1/events/batch", &batch), Then::Wait).await;
        assert!(matches!(status, Some(400..=499)), "{status:?} for a batch of {shown:?}");
        let tried = [b"{\"payload\":".as_slice(), &payload, b"}"].concat();
        let status = house.send(&house.json("POST /v1/match", &tried), Then::Wait).await;
        assert!(matches!(status, Some(400..=499)), "{status:?} for a match of {shown:?}");
    }
    house.is_unharmed(&stored, memory).await;
}

#[tokio::test]
async fn what_is_odd_and_good_is_kept_byte_for_byte() {
    let house = House::new().await;
    let digits = format!("{{\"n\":{}.{}e-{}}}", "9".repeat(5_000), "0".repeat(5_000), "9".repeat(300));
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(63), "]".repeat(63));
    for payload in [
        "{}",
        " \t\r\n{ \"a\" : 1 } \n",
        "{\"\":0,\" \":-0,\"a\":-0.0e-0,\"b\":1E400,\"c\":1e-400}",
        "{\"a\":\"\\u0000\\ud83d\\ude00\\/\"}",
        "{\"a\":\"\u{feff}\u{2028}\u{10ffff}\"}",
        "{\"a\":1.10,\"A\":1.1}",
        &digits,
        &deep,
    ] {
        let status = house.send(&house.json("POST /v1/events", payload.as_bytes()), Then::Wait).await;
        assert_eq!(status, Some(201), "{payload}");
        let kept = "SELECT encode(payload, 'hex') FROM trunkline.payloads ORDER BY event_id DESC LIMIT 1";
        assert!(house.database.text(kept).await == hex(payload.as_bytes()), "{payload}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn identifiers_and_query_values_are_checked_before_any_statement() {
    let house = House::new().await;
    let (stored, memory) = (house.stored().await, house.memory().await);
    let long = "a".repeat(5_000);
    let texts: Vec<&str> = TEXTS.into_iter().chain([long.as_str()]).collect();
    let paths = [
        "/v1/events/{}",
        "/v1/events/{}/attempts",
        "/v1/events/{}/explain",
        "/v1/erasures/{}",
        "/v1/endpoints/{}",
        "/v1/endpoints/{}/stats",
        "/v1/replays/{}",
        "/v1/event-types/{}",
        "/v1/tenants/{}",
    ];
    let queries = [
        "/v1/events?limit={}",
        "/v1/events?after={}",
        "/v1/events?before={}",
        "/v1/events?status={}",
        "/v1/events?endpoint_id={}",
        "/v1/events?next_token={}",
        "/v1/events?{}={}",
        "/v1/events/export?after={}",
        "/v1/dead-letters?endpoint_id={}",
        "/v1/dead-letters?before={}",
        "/v1/stats?bucket={}",
        "/v1/stats?after={}",
        "/v1/stats?endpoint_id={}",
        "/v1/tenants?limit={}",
        "/v1/tenants?next_token={}",
        "/v1/replays?next_token={}",
        "/v1/event-types?limit={}",
    ];
    for text in texts {
        for path in paths.iter().chain(&queries) {
            let line = format!("GET {}", path.replace("{}", text));
            let status = house.send(&house.request(&line, "", b""), Then::Wait).await;
            assert!(matches!(status, Some(400..=499)), "{status:?} for {line}");
        }
        // A type is any visible text, and a member of a payload almost any: found nowhere.
        for path in
            ["/v1/events?type={}", "/v1/events?payload={}", "/v1/events?payload=a:{}", "/v1/stats?type={}"]
        {
            let line = format!("GET {}", path.replace("{}", text));
            let status = house.send(&house.request(&line, "", b""), Then::Wait).await;
            assert!(matches!(status, Some(200 | 400..=499)), "{status:?} for {line}");
        }
    }
    house.is_unharmed(&stored, memory).await;
}

#[tokio::test]
async fn bodies_of_every_route_are_checked_before_any_statement() {
    let house = House::new().await;
    let endpoint = format!("/v1/endpoints/{}", house.acme.endpoint_id);
    let (stored, memory) = (house.stored().await, house.memory().await);
    let nested = "(".repeat(20_000);
    let mut bodies: Vec<(String, String)> = Vec::new();
    let shapes: [(&str, String, &[&str]); 10] = [
        (
            "POST",
            "/v1/endpoints".to_owned(),
            &[
                "name",
                "url",
                "description",
                "metadata",
                "event_types",
                "payload_filter",
                "custom_headers",
                "timeout_ms",
                "retry_schedule_ms",
                "rate_per_second",
                "in_flight_max",
                "ordering",
                "webhook_secret",
            ],
        ),
        ("POST", "/v1/api-keys".to_owned(), &["name", "scopes", "expires_at"]),
        (
            "POST",
            "/v1/replays".to_owned(),
            &["status", "type", "endpoint_id", "after", "before", "to_endpoint_id", "rate", "dry_run"],
        ),
        (
            "POST",
            "/v1/erasures".to_owned(),
            &["type", "after", "before", "payload", "event_ids", "dry_run", "next_token"],
        ),
        (
            "POST",
            "/v1/dead-letters/purge".to_owned(),
            &["type", "after", "before", "endpoint_id", "event_ids"],
        ),
        ("POST", "/v1/events/batch".to_owned(), &["events"]),
        ("PUT", "/v1/tenants/current/operational-endpoint".to_owned(), &["url", "webhook_secret"]),
        ("POST", "/v1/tenants".to_owned(), &["tenant_id", "target_url", "webhook_secret"]),
        ("POST", format!("{endpoint}/rotate-secret"), &["webhook_secret", "overlap_seconds"]),
        ("PATCH", "/v1/tenants/current".to_owned(), &["target_url", "webhook_secret"]),
    ];
    for (method, path, fields) in shapes {
        for field in fields {
            for value in VALUES {
                // With an unknown field besides, nothing of it could be accepted: a value that is good must not hide what is not.
                bodies.push((format!("{method} {path}"), format!("{{\"{field}\":{value},\"unknown\":1}}")));
                let is_any_text = matches!(*field, "type" | "payload" | "overlap_seconds");
                if !is_any_text && !matches!(value, "null" | "[]" | "{}" | "true" | "\"\"" | "0.5" | "-1") {
                    bodies.push((format!("{method} {path}"), format!("{{\"{field}\":{value}}}")));
                }
            }
        }
        for body in ["[]", "[null,null,null]", "null", "1", "\"x\"", "{", "{\"a\":1}", "{}{}", &nested] {
            bodies.push((format!("{method} {path}"), body.to_owned()));
        }
    }
    let filters = [
        "$",
        "$.",
        "$.a[",
        "$$",
        "$x > 1",
        "exists(",
        "$.a == \"\\u0000\"",
        "$.a like_regex \"a\"",
        "$.a ? (@ > 1)",
        &nested,
        "1",
        "$.a > 1 && ",
    ];
    for filter in filters {
        let body = serde_json::json!({"name": "f", "url": "https://example.com/", "payload_filter": filter})
            .to_string();
        bodies.push(("POST /v1/endpoints".to_owned(), body));
    }
    for schema in [
        "1",
        "\"x\"",
        "{\"type\":1}",
        "{\"$ref\":\"https://example.com/\"}",
        "{\"$ref\":\"#\"}",
        "{\"pattern\":\"(\"}",
    ] {
        bodies.push(("PUT /v1/event-types/a".to_owned(), format!("{{\"schema\":{schema}}}")));
    }
    bodies.push(("PUT /v1/event-types/a".to_owned(), "{\"description\":\"\\u0000\"}".to_owned()));
    for (line, body) in bodies {
        let status = house.send(&house.json(&line, body.as_bytes()), Then::Wait).await;
        let shown: String = body.chars().take(100).collect();
        assert!(matches!(status, Some(400..=499)), "{status:?} for {line} {shown}");
    }
    // Some of these are good for the field; none is for the database to find out.
    let fields = [
        "name",
        "description",
        "metadata",
        "event_types",
        "payload_filter",
        "custom_headers",
        "retry_schedule_ms",
        "url",
    ];
    for (field, value) in fields.iter().flat_map(|field| VALUES.map(|value| (field, value))) {
        let body = format!("{{\"{field}\":{value}}}");
        let status = house.send(&house.json(&format!("PATCH {endpoint}"), body.as_bytes()), Then::Wait).await;
        assert!(matches!(status, Some(200 | 400..=499)), "{status:?} for {body}");
    }
    house.is_unharmed(&stored, memory).await;
}

#[tokio::test]
async fn many_large_bodies_at_one_time_take_bounded_memory() {
    let house = House::new().await;
    let (stored, memory) = (house.stored().await, house.memory().await);
    // Each is announced as large as may be, sent almost to its end, and never ended.
    let batch = house.request(
        "POST /v1/events/batch",
        "content-type: application/json\r\ncontent-length: 8388608\r\n",
        &vec![b' '; 8_000_000],
    );
    let (port, batch) = (house.program.port, std::sync::Arc::new(batch));
    let senders = [(); 24].map(|()| {
        let batch = std::sync::Arc::clone(&batch);
        tokio::spawn(async move { exchange(port, &batch, Then::Wait).await })
    });
    for sender in senders {
        let status = sender.await.unwrap();
        assert!(matches!(status, Some(408 | 503)), "{status:?}");
    }
    house.is_unharmed(&stored, memory).await;
}
