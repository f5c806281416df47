//! Whatever is sent to a receiver, over a real socket to a real process: a 4xx, no panic, nothing stored, no memory.

use trunkline_testkit::{Program, TestDatabase, Then, exchange, seed_tenant, settings};

/// What bad input may cost in memory.
const GROWTH_KIB_MAX: u64 = 64 * 1024;

#[tokio::test]
async fn whatever_is_sent_gets_a_4xx_and_leaves_nothing() {
    let database = TestDatabase::new().await;
    let acme = seed_tenant(&database, &settings(&database), "acme", "http://127.0.0.1:1/").await;
    let limits = [
        ("TRUNKLINE__CLIENTS__HEAD_TIMEOUT", "1s"),
        ("TRUNKLINE__CLIENTS__BODY_TIMEOUT", "1s"),
        ("TRUNKLINE__CLIENTS__FAILED_LOGINS_PER_MINUTE", "0"),
    ];
    let program =
        Program::start(env!("CARGO_BIN_EXE_trunkline-receiver"), "receiver", &database, &limits).await;
    assert_eq!(
        exchange(program.port, b"GET /acme/status HTTP/1.1\r\nhost: x\r\n\r\n", Then::Wait).await,
        Some(200)
    );
    let memory = program.memory_kib().0;

    let post = |path: &str, headers: &str, body: &[u8]| {
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{headers}\r\n");
        [head.as_bytes(), body].concat()
    };
    let webhook = |headers: &str| post("/acme/webhook", &format!("content-length: 2\r\n{headers}"), b"{}");
    let get = |path: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", acme.api_key)
            .into_bytes()
    };
    let many: String = (0..100).map(|number| format!("x-{number}: y\r\n")).collect();
    let long = "a".repeat(200 * 1024);
    let large = vec![b' '; 1024 * 1024 + 1];
    let vectors: Vec<(&str, Vec<u8>, Then, u16)> = vec![
        ("garbage", b"GARBAGE\r\n\r\n".to_vec(), Then::Wait, 400),
        ("two lengths", webhook("content-length: 3\r\n"), Then::Wait, 400),
        ("length and chunks", webhook("transfer-encoding: chunked\r\n"), Then::Wait, 400),
        (
            "chunk of no size",
            post("/acme/webhook", "transfer-encoding: chunked\r\n", b"zz\r\n"),
            Then::Wait,
            400,
        ),
        ("body that ends early", post("/acme/webhook", "content-length: 9\r\n", b"{"), Then::End, 400),
        ("head that does not come", b"POST /acme/webhook HTTP/1.1\r\n".to_vec(), Then::Wait, 408),
        ("head that drips", b"POST /acme/webhook HTTP/1.1\r\nhost: y\r\nx: ".to_vec(), Then::Drip(b'a'), 408),
        ("body that does not come", post("/acme/webhook", "content-length: 9\r\n", b"{"), Then::Wait, 408),
        ("body that drips", post("/acme/webhook", "content-length: 900000\r\n", b"{"), Then::Drip(b' '), 408),
        (
            "announced too large",
            post("/acme/webhook", "content-length: 1000000000000\r\n", b"{"),
            Then::Wait,
            413,
        ),
        (
            "sent too large",
            post("/acme/webhook", &format!("content-length: {}\r\n", large.len()), &large),
            Then::Wait,
            413,
        ),
        ("100 headers", webhook(&many), Then::Wait, 431),
        ("one long header", webhook(&format!("x: {long}\r\n")), Then::Wait, 431),
        ("unsigned", webhook(""), Then::Wait, 401),
        ("signed with nothing", webhook("stripe-signature: \r\n"), Then::Wait, 401),
        ("signed with garbage", webhook("stripe-signature: t=1,v1=zz,,=,t\r\n"), Then::Wait, 401),
        (
            "time beyond numbers",
            webhook("stripe-signature: t=99999999999999999999,v1=00\r\n"),
            Then::Wait,
            401,
        ),
        (
            "time before all",
            webhook(
                "webhook-id: a\r\nwebhook-timestamp: -9223372036854775808\r\nwebhook-signature: v1,AA==\r\n",
            ),
            Then::Wait,
            401,
        ),
        (
            "many signatures",
            webhook(&format!(
                "webhook-id: a\r\nwebhook-timestamp: 1\r\nwebhook-signature: {}\r\n",
                "v1,AA== ".repeat(5_000)
            )),
            Then::Wait,
            401,
        ),
        (
            "id of odd bytes",
            webhook("webhook-id: \u{80}\u{ff}\r\nwebhook-timestamp: 1\r\nwebhook-signature: v1,AA==\r\n"),
            Then::Wait,
            401,
        ),
        ("NUL as tenant", post("/%00/webhook", "content-length: 2\r\n", b"{}"), Then::Wait, 404),
        ("nobody", post("/nobody/webhook", "content-length: 2\r\n", b"{}"), Then::Wait, 404),
        ("no UTF-8 as tenant", post("/%ff%fe/webhook", "content-length: 2\r\n", b"{}"), Then::Wait, 404),
        ("NUL as name", post("/acme/webhook/%00", "content-length: 2\r\n", b"{}"), Then::Wait, 404),
        (
            "long name",
            post(&format!("/acme/webhook/{}", "a".repeat(5_000)), "content-length: 2\r\n", b"{}"),
            Then::Wait,
            404,
        ),
        ("switched by nobody", post("/acme/disable", "content-length: 0\r\n", b""), Then::Wait, 401),
        (
            "switched by garbage",
            post("/disable", "content-length: 0\r\nauthorization: Bearer \u{ff}\r\n", b""),
            Then::Wait,
            401,
        ),
        ("limit of nothing", get("/acme/received?limit="), Then::Wait, 400),
        ("limit beyond numbers", get("/acme/received?limit=99999999999999999999"), Then::Wait, 400),
        ("unknown parameter", get("/acme/received?%00=%ff"), Then::Wait, 400),
        ("unknown method", b"BREW /acme/webhook HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(), Then::Wait, 405),
    ];
    for (what, bytes, then, expected) in vectors {
        assert_eq!(exchange(program.port, &bytes, then).await, Some(expected), "{what}");
    }
    // Many at a time, none of which ends: what is held is bounded, and whoever finds no room is told.
    let unending =
        std::sync::Arc::new(post("/acme/webhook", "content-length: 1048576\r\n", &large[..1_000_000]));
    let senders = [(); 100].map(|()| {
        let (port, unending) = (program.port, std::sync::Arc::clone(&unending));
        tokio::spawn(async move { exchange(port, &unending, Then::Wait).await })
    });
    for sender in senders {
        let status = sender.await.unwrap();
        assert!(matches!(status, Some(408 | 503)), "{status:?}");
    }

    assert_eq!(
        exchange(program.port, b"GET /acme/status HTTP/1.1\r\nhost: x\r\n\r\n", Then::Wait).await,
        Some(200)
    );
    assert_eq!(database.text("SELECT count(*) FROM trunkline.receipts").await, "0");
    assert_eq!(database.text("SELECT count(*) FROM trunkline.receptions WHERE NOT enabled").await, "0");
    let log = program.log();
    assert_eq!(log.iter().find(|line| line.contains("panicked") || line.contains("\"ERROR\"")), None);
    let growth = program.memory_kib().1.saturating_sub(memory);
    assert!(growth <= GROWTH_KIB_MAX, "{growth} KiB");
}
