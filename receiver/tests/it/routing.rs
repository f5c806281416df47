use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use trunkline_signing::{Secret, sign};
use trunkline_testkit::seed_tenant;

use crate::house::{BODY, House, assert_problem};

#[tokio::test]
async fn a_tenant_that_does_not_exist_is_404_before_anything_else() {
    let house = House::new().await;
    let client = &house.replica.client;
    for tenant in ["nobody", "UPPER", "a", "%00%00%00", "acme%20", "*"] {
        assert_problem(&client.post(&format!("/{tenant}/webhook"), "{}").await, 404, "tenant_unknown");
        assert_problem(&client.get(&format!("/{tenant}/status")).await, 404, "tenant_unknown");
    }
    let tenant = seed_tenant(&house.database, &house.settings, "nobody", "http://127.0.0.1:1/").await;
    let secret = Secret::from_stored(&tenant.webhook_secret).unwrap();
    let signed = sign("evt_1", trunkline_boot::clock::signing_now(), BODY.as_bytes(), &[&secret]);
    assert_eq!(
        house.post("/nobody/webhook", BODY, &signed.pairs()).await.status,
        200,
        "a new tenant is known at once"
    );

    house
        .database
        .execute("UPDATE trunkline.tenants SET status = 'DELETED' WHERE tenant_id = 'nobody'")
        .await;
    trunkline_testkit::eventually("a deleted tenant is unknown", async || {
        (house.post("/nobody/webhook", BODY, &signed.pairs()).await.status == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn routes_that_are_none_are_404_and_wrong_methods_405() {
    let house = House::new().await;
    let client = &house.replica.client;
    for path in [
        "/",
        "/acme",
        "/acme/",
        "/acme/webhook/",
        "/acme/webhook/a/b",
        "/acme/webhook/a%20b",
        "/nothing",
        "//",
    ] {
        let reply = client.post(path, "").await;
        assert_eq!(reply.status, 404, "{path}");
        assert_problem(&reply, 404, "not_found");
    }
    for (method, path, allow) in [
        (Method::GET, "/acme/webhook", "POST"),
        (Method::PUT, "/acme/webhook/a", "POST"),
        (Method::GET, "/acme/enable", "POST"),
        (Method::DELETE, "/disable", "POST"),
        (Method::POST, "/acme/status", "GET, HEAD"),
        (Method::POST, "/health", "GET, HEAD"),
        (Method::OPTIONS, "/acme/received", "GET, HEAD"),
    ] {
        let reply = client.send(method, path, "", &[]).await;
        assert_problem(&reply, 405, "method_not_allowed");
        assert_eq!(reply.header("allow"), allow, "{path}");
    }
    let head = client.send(Method::HEAD, "/health", "", &[]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test]
async fn tenants_may_be_called_like_a_route() {
    let house = House::new().await;
    for name in ["status", "health", "enable", "disable", "docs", "webhook", "received"] {
        let tenant = seed_tenant(&house.database, &house.settings, name, "http://127.0.0.1:1/").await;
        let owner = house.replica.client.bearer(&tenant.api_key);
        assert_eq!(owner.get(&format!("/{name}/status")).await.json()["tenant_id"], name);
        assert_eq!(owner.post(&format!("/{name}/disable"), "").await.json()["accepts_webhooks"], false);
        assert_eq!(owner.get(&format!("/{name}/received")).await.status, 200);
        assert_eq!(house.post(&format!("/{name}/webhook"), "{}", &[]).await.status, 503);
    }
    assert_eq!(
        house.replica.client.get("/status").await.json()["accepts_webhooks"],
        true,
        "fixed routes win"
    );
    assert_eq!(house.replica.client.get("/health").await.json()["status"], "healthy");
}

#[tokio::test]
async fn a_body_of_1_mib_is_taken_and_one_byte_more_is_413() {
    let house = House::new().await;
    let secret = Secret::from_stored(&house.acme.webhook_secret).unwrap();
    for (length, status) in [(1 << 20, 200), ((1 << 20) + 1, 413), (8 << 20, 413)] {
        let body = "x".repeat(length);
        let signed = sign("evt_1", trunkline_boot::clock::signing_now(), body.as_bytes(), &[&secret]);
        let reply = house.post("/acme/webhook", &body, &signed.pairs()).await;
        assert_eq!(reply.status, status, "{length}");
        if status == 413 {
            assert_problem(&reply, 413, "body_too_large");
        }
    }
    assert_eq!(house.receipts().await, "1");
}

#[tokio::test]
async fn a_body_without_announced_length_is_bounded_too() {
    let house = House::new().await;
    let mut stream = TcpStream::connect(("127.0.0.1", house.replica.port)).await.unwrap();
    stream
        .write_all(b"POST /acme/webhook HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    let chunk = [b"10000\r\n", "x".repeat(0x10000).as_bytes(), b"\r\n"].concat();
    for _ in 0..17 {
        stream.write_all(&chunk).await.unwrap();
    }
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_503_within_about_a_second() {
    let house = House::new().await;
    let mut other = house.database.connect().await;
    trunkline_testkit::run(&mut other, "BEGIN; LOCK TABLE trunkline.receipts").await;
    let asked = std::time::Instant::now();
    let reply = house.deliver("evt_1").await;
    assert_problem(&reply, 503, "database_unavailable");
    assert_eq!(reply.header("retry-after"), "1");
    assert!(asked.elapsed() < std::time::Duration::from_secs(3), "{:?}", asked.elapsed());
    trunkline_testkit::run(&mut other, "ROLLBACK").await;
    assert_eq!(house.deliver("evt_1").await.status, 200);
}
