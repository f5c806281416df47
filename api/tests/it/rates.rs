//! A tenant's rate, over several processes.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use trunkline_testkit::{Client, OPERATOR_KEY, Reply, eventually};

use crate::house::{Door, House, problem};

/// Seconds by the database's clock.
async fn database_now(house: &House) -> f64 {
    house.database.text("SELECT extract(epoch FROM clock_timestamp())::text").await.parse().unwrap()
}

/// Offers events one after another and counts those that were taken; every other must be told that it was too much.
async fn offer(client: Client, events: usize) -> u32 {
    let mut taken = 0;
    for _ in 0..events {
        let reply = client.post("/v1/events", "{}").await;
        match reply.status {
            201 => taken += 1,
            429 => assert!(reply.header("retry-after").parse::<u64>().unwrap() >= 1),
            // A machine that stood still for a second.
            503 => {}
            other => panic!("{other}: {:?}", reply.body),
        }
    }
    taken
}

#[tokio::test]
async fn three_processes_admit_no_more_than_a_tenth_too_much() {
    const RATE: u32 = 20;
    const BURST: u32 = 400;
    let house = House::with(|settings| {
        settings.ingest.rate_per_tenant = RATE;
        settings.ingest.burst_per_tenant = BURST;
    })
    .await;
    let (second, third) = (Door::start(&house.settings).await, Door::start(&house.settings).await);
    let before = database_now(&house).await;
    let publishers = [house.port(), second.port, third.port].into_iter().flat_map(|port| {
        let client = Client::local(port).bearer(&house.acme.api_key);
        [(); 4].map(|()| tokio::spawn(offer(client.clone(), 150)))
    });
    let mut taken = 0;
    for publisher in publishers.collect::<Vec<_>>() {
        taken += publisher.await.unwrap();
    }
    let seconds = database_now(&house).await - before;
    let allowed = f64::from(BURST) + f64::from(RATE) * seconds;
    assert!(f64::from(taken) <= allowed * 1.1, "{taken} in {seconds} s");
    // A process holds a little that others could use, and no more.
    assert!(f64::from(taken) >= f64::from(BURST) * 0.9, "{taken} in {seconds} s");
    assert_eq!(house.database.text("SELECT count(*) FROM trunkline.events").await, taken.to_string());
}

fn rate_fields(reply: &Reply) -> (String, String) {
    (reply.header("ratelimit-policy").to_owned(), reply.header("ratelimit").to_owned())
}

#[tokio::test]
async fn answers_tell_the_policy_and_what_is_left_of_it() {
    let house = House::with(|settings| {
        settings.ingest.rate_per_tenant = 1;
        settings.ingest.burst_per_tenant = 10;
    })
    .await;
    // The bucket fills as slowly as that, so that a slow machine changes no number.
    house
        .database
        .execute("INSERT INTO trunkline.rate_buckets VALUES ('acme', 5, now() + interval '4 seconds')")
        .await;
    let first = house.client.post("/v1/events", "{}").await;
    assert_eq!(first.status, 201);
    assert_eq!(rate_fields(&first), ("\"tenant\";q=10;w=10".to_owned(), "\"tenant\";r=4".to_owned()));
    let batch = r#"{"events":[{"payload":{}},{"payload":{}},{"payload":{}}]}"#;
    let second = house.client.post("/v1/events/batch", batch).await;
    assert_eq!((second.status, rate_fields(&second).1.as_str()), (201, "\"tenant\";r=1"));
    let refused = house.client.post("/v1/events/batch", batch).await;
    problem(&refused, 429, "rate_limited");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=2).contains(&wait));
    assert_eq!(rate_fields(&refused).1, format!("\"tenant\";r=1;t={wait}"));
}

#[tokio::test]
async fn a_tenants_own_rate_comes_before_the_setting_and_0_is_no_limit() {
    let house = House::with(|settings| {
        settings.ingest.rate_per_tenant = 1;
        settings.ingest.burst_per_tenant = 1;
    })
    .await;
    let (_, free) = house.tenant("free").await;
    house
        .database
        .execute("UPDATE trunkline.tenants SET rate_per_second = CASE tenant_id WHEN 'free' THEN 0 ELSE 1 END, burst = 3")
        .await;
    for _ in 0..10 {
        let reply = free.post("/v1/events", "{}").await;
        assert_eq!((reply.status, reply.header("ratelimit")), (201, ""));
    }
    assert_eq!(house.client.post("/v1/events", "{}").await.header("ratelimit-policy"), "\"tenant\";q=3;w=3");
    let buckets = "SELECT string_agg(tenant_id, ',') FROM trunkline.rate_buckets";
    assert_eq!(house.database.text(buckets).await, "acme", "nobody draws without a limit");
}

#[tokio::test]
async fn without_its_bucket_a_tenant_is_told_503_and_publishes_again_after() {
    let house = House::with(|settings| settings.ingest.burst_per_tenant = 20).await;
    let mut holder = house.database.connect().await;
    trunkline_testkit::run(&mut holder, "BEGIN; LOCK TABLE trunkline.rate_buckets IN ACCESS EXCLUSIVE MODE")
        .await;
    let reply = house.client.post("/v1/events", "{}").await;
    problem(&reply, 503, "database_unavailable");
    assert_eq!(reply.header("retry-after"), "1");
    assert_eq!(house.client.get("/v1/events").await.status, 200, "reading needs no token");
    trunkline_testkit::run(&mut holder, "ROLLBACK").await;
    house.publish("{}").await;
}

#[tokio::test]
async fn an_operator_sets_a_tenants_rate_and_the_tenant_does_not() {
    let house = House::new().await;
    let operator = house.anyone.bearer(OPERATOR_KEY);
    let change = r#"{"rate_per_second":2,"burst":6}"#;
    for path in ["/v1/tenants/current", "/v1/tenants/acme"] {
        problem(&house.client.patch(path, change).await, 403, "operator_only");
    }
    let changed = operator.patch("/v1/tenants/acme", change).await;
    assert_eq!(
        (changed.status, &changed.json()["message"]),
        (200, &json!("rate_per_second and burst updated."))
    );
    let shown = house.client.get("/v1/tenants/current").await.json();
    assert_eq!((&shown["tenant"]["rate_per_second"], &shown["tenant"]["burst"]), (&json!(2), &json!(6)));
    eventually("publishing goes by it", async || {
        let reply = house.client.post("/v1/events", "{}").await;
        (reply.header("ratelimit-policy") == "\"tenant\";q=6;w=3").then_some(())
    })
    .await;
    // What is absent stays, null is the installation's; all in one transaction with what else is changed.
    let both = r#"{"burst":null,"target_url":"https://example.com/new"}"#;
    let changed = operator.patch("/v1/tenants/acme", both).await.json();
    let tenant = &changed["tenant"];
    let fields = [&tenant["rate_per_second"], &tenant["burst"], &tenant["target_url"]];
    assert_eq!(fields, [&json!(2), &Value::Null, &json!("https://example.com/new")]);
    for (body, field) in [
        (r#"{"burst":0}"#, "burst"),
        (r#"{"rate_per_second":1000001}"#, "rate_per_second"),
        (r#"{"burst":1000001,"target_url":"https://example.com/newer"}"#, "burst"),
    ] {
        let refused = problem(&operator.patch("/v1/tenants/acme", body).await, 422, "invalid_field");
        assert_eq!(refused["errors"][0]["field"], field);
    }
    problem(&operator.patch("/v1/tenants/nobody", change).await, 404, "tenant_not_found");
    let audit = operator.get("/v1/audit?tenant_id=acme").await.json();
    let entries = audit["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "refusals leave nothing: {audit}");
    for entry in entries {
        assert_eq!(entry["action"], "tenant.change");
        assert!(entry["actor"].as_str().unwrap().starts_with("operator:"), "{entry}");
    }
}

#[tokio::test]
async fn a_refusal_that_took_tokens_tells_what_is_left_and_one_that_took_none_says_nothing() {
    let house = House::with(|settings| {
        settings.ingest.rate_per_tenant = 1;
        settings.ingest.burst_per_tenant = 10;
    })
    .await;
    // The bucket fills as slowly as that, so that a slow machine changes no number.
    house
        .database
        .execute("INSERT INTO trunkline.rate_buckets VALUES ('acme', 5, now() + interval '1 minute')")
        .await;
    let refused = house.client.post("/v1/events", "[1]").await;
    assert_eq!((refused.status, rate_fields(&refused).1.as_str()), (422, "\"tenant\";r=4"));
    assert_eq!(rate_fields(&refused).0, "\"tenant\";q=10;w=10");
    let headers = [("content-type", "text/plain")];
    let refused = house.client.send(http::Method::POST, "/v1/events", "{}", &headers).await;
    assert_eq!((refused.status, rate_fields(&refused).1.as_str()), (415, "\"tenant\";r=3"));
    // What is no batch costs as much as an event.
    let refused = house.client.post("/v1/events/batch", r#"{"events":[]}"#).await;
    assert_eq!((refused.status, rate_fields(&refused).1.as_str()), (422, "\"tenant\";r=2"));
    let refused = house.anyone.post("/v1/events", "{}").await;
    assert_eq!((refused.status, rate_fields(&refused).1.as_str()), (401, ""));
    // With a key whose body was another, after its tokens were taken.
    let batch = |n: u8| format!(r#"{{"events":[{{"payload":{{"n":{n}}},"idempotency_key":"once"}}]}}"#);
    let taken = house.client.post("/v1/events/batch", batch(1)).await;
    assert_eq!((taken.status, rate_fields(&taken).1.as_str()), (201, "\"tenant\";r=1"));
    let refused = house.client.post("/v1/events/batch", batch(2)).await;
    assert_eq!((refused.status, rate_fields(&refused).1.as_str()), (422, "\"tenant\";r=0"));
}

#[tokio::test]
async fn a_batch_that_is_refused_costs_what_it_was_counted_for_and_none_is_read_beyond_the_rate() {
    let house = House::with(|settings| {
        settings.ingest.rate_per_tenant = 1;
        settings.ingest.burst_per_tenant = 10;
    })
    .await;
    let bad = r#"{"events":[{"payload":{}},{"payload":{}},{"payload":1}]}"#;
    let mut counts = (0, 0);
    let refused = loop {
        let reply = house.client.post("/v1/events/batch", bad).await;
        match reply.status {
            422 => counts.0 += 1,
            429 => break reply,
            // A machine that stood still for a second.
            503 => {}
            other => panic!("{other}"),
        }
        counts.1 += 1;
        assert!(counts.1 < 100, "a hundred bad batches of a tenant with ten events");
    };
    problem(&refused, 429, "rate_limited");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert!(counts.0 >= 3, "{counts:?}");
    // With nothing left, nothing is read: not even what is no JSON, or never comes.
    house
        .database
        .execute("UPDATE trunkline.rate_buckets SET tokens = 0, refilled_at = now() + interval '1 minute'")
        .await;
    eventually("the bucket is known to be empty", async || {
        (house.client.post("/v1/events", "{}").await.status == 429).then_some(())
    })
    .await;
    unread(&house, 429).await;
}

#[tokio::test]
async fn a_suspended_tenants_batch_is_refused_before_its_body_is_read() {
    let house = House::new().await;
    house.database.execute("UPDATE trunkline.tenants SET status = 'SUSPENDED'").await;
    unread(&house, 403).await;
}

/// Sends the head of a batch, and nothing of its body, to be refused.
async fn unread(house: &House, status: u16) {
    let mut stream = TcpStream::connect(("127.0.0.1", house.port())).await.unwrap();
    let head = format!(
        "POST /v1/events/batch HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 8000000\r\nauthorization: Bearer {}\r\n\r\n",
        house.acme.api_key
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"));
}
