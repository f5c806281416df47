//! Bad input to every route: a clear error, and nothing stored.

use http::Method;
use trunkline_testkit::{OPERATOR_KEY, Reply};

use crate::house::{House, problem};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

async fn post(house: &House, path: &str, body: impl Into<bytes::Bytes>, headers: &[(&str, &str)]) -> Reply {
    house.client.send(Method::POST, path, body, headers).await
}

#[tokio::test]
async fn a_payload_that_is_none_is_refused_with_its_place() {
    let house = House::new().await;
    let before = house.stored().await;
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(64), "]".repeat(64));
    let bodies: [&[u8]; 14] = [
        b"",
        b" ",
        b"[]",
        b"null",
        b"\"x\"",
        b"{\"a\":1}{}",
        b"{\"a\":1,\"a\":2}",
        b"{\"a\":1,\"\\u0061\":2}",
        b"\xef\xbb\xbf{}",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\\ud800\"}",
        b"{\"a\":01}",
        b"{\"a\":NaN}",
        deep.as_bytes(),
    ];
    for body in bodies {
        let reply = post(&house, "/v1/events", body.to_vec(), JSON).await;
        problem(&reply, 422, "invalid_payload");
    }
    let reply = post(&house, "/v1/events", r#"{"type":"two words"}"#, JSON).await;
    assert_eq!(problem(&reply, 422, "invalid_field")["errors"][0]["field"], "type");
    let reply = post(&house, "/v1/events", format!("{{\"a\":\"{}\"}}", "x".repeat(262_144)), JSON).await;
    problem(&reply, 413, "body_too_large");
    assert_eq!(house.stored().await, before);
}

#[tokio::test]
async fn a_body_of_another_type_or_encoding_is_refused() {
    let house = House::new().await;
    let before = house.stored().await;
    let headers: [&[(&str, &str)]; 6] = [
        &[],
        &[("content-type", "text/plain")],
        &[("content-type", "application/json; charset=latin1")],
        &[("content-type", "application/json"), ("content-encoding", "gzip")],
        &[("content-type", "application/jsonp")],
        &[("content-type", "application/x-www-form-urlencoded")],
    ];
    for headers in headers {
        problem(&post(&house, "/v1/events", "{}", headers).await, 415, "unsupported_media_type");
    }
    assert_eq!(house.stored().await, before);
}

#[tokio::test]
async fn a_header_with_an_invalid_value_is_refused() {
    let house = House::new().await;
    let before = house.stored().await;
    let long = "k".repeat(256);
    for (name, value) in [
        ("Trunkline-Event-Type", "two words"),
        ("Trunkline-Event-Type", ""),
        ("Idempotency-Key", ""),
        ("Idempotency-Key", "two words"),
        ("Idempotency-Key", long.as_str()),
        ("Trunkline-Deliver-At", "9999-01-01T00:00:00Z"),
    ] {
        let reply = post(&house, "/v1/events", "{}", &[JSON[0], (name, value)]).await;
        assert_eq!(problem(&reply, 400, "invalid_header")["errors"][0]["field"], name, "{value:?}");
    }
    assert_eq!(house.stored().await, before);
}

#[tokio::test]
async fn a_header_that_is_sent_twice_is_refused() {
    let house = House::new().await;
    let before = house.stored().await;
    for (name, value) in [
        ("Trunkline-Event-Type", "order.paid"),
        ("Idempotency-Key", "k"),
        ("Trunkline-Deliver-At", "2020-01-01T00:00:00Z"),
        ("Trunkline-Ordering-Key", "o"),
    ] {
        let reply = post(&house, "/v1/events", "{}", &[JSON[0], (name, value), (name, value)]).await;
        assert_eq!(problem(&reply, 400, "invalid_header")["errors"][0]["field"], name);
    }
    let good = format!("Bearer {}", house.acme.api_key);
    for other in [good.as_str(), "Bearer x"] {
        for keys in [[good.as_str(), other], [other, good.as_str()]] {
            let headers = keys.map(|key| ("authorization", key));
            let reply = house.anyone.send(Method::GET, "/v1/events", "", &headers).await;
            problem(&reply, 401, "unauthenticated");
        }
    }
    assert_eq!(house.stored().await, before);
}

#[tokio::test]
async fn what_belongs_to_one_event_is_refused_as_a_header_of_a_batch() {
    let house = House::new().await;
    let before = house.stored().await;
    for (name, value, member) in [
        ("Trunkline-Event-Type", "order.paid", "type"),
        ("Idempotency-Key", "k", "idempotency_key"),
        ("Trunkline-Deliver-At", "2020-01-01T00:00:00Z", "deliver_at"),
        ("Trunkline-Ordering-Key", "o", "ordering_key"),
    ] {
        let headers = [JSON[0], (name, value)];
        let reply = post(&house, "/v1/events/batch", r#"{"events":[{"payload":{}}]}"#, &headers).await;
        let problem = problem(&reply, 400, "invalid_header");
        assert_eq!(problem["errors"][0]["field"], name);
        assert!(problem["detail"].as_str().unwrap().contains(&format!(" {member} ")), "{problem}");
    }
    assert_eq!(house.stored().await, before);
}

#[tokio::test]
async fn unknown_and_invalid_query_parameters_are_refused_by_name() {
    let house = House::new().await;
    for path in [
        "/v1/events?colour=red",
        "/v1/events?status=pending",
        "/v1/events?status=",
        "/v1/events?limit=0",
        "/v1/events?limit=101",
        "/v1/events?limit=x",
        "/v1/events?after=yesterday",
        "/v1/events?before=2026-13-01T00:00:00Z",
        "/v1/events?type=two%20words",
        "/v1/events?endpoint_id=x",
        "/v1/events?next_token=abc",
        "/v1/events?limit=1&limit=2",
        "/v1/dead-letters?endpoint_id=x",
        "/v1/dead-letters?status=FAILED",
        "/v1/dead-letters?next_token=%00",
    ] {
        problem(&house.client.get(path).await, 400, "invalid_query");
    }
    let operator = house.anyone.bearer(OPERATOR_KEY);
    for path in ["/v1/tenants?x=1", "/v1/tenants?limit=-1", "/v1/tenants?next_token=x"] {
        problem(&operator.get(path).await, 400, "invalid_query");
    }
}

#[tokio::test]
async fn routes_without_query_parameters_refuse_any_and_every_answer_is_named() {
    let house = House::new().await;
    let id = house.publish("{}").await;
    for reply in [
        house.client.post("/v1/events?dry_run=1", "{}").await,
        house.client.get(&format!("/v1/events/{id}?x")).await,
        house.client.delete(&format!("/v1/events/{id}?force=true")).await,
        house.client.get("/v1/tenants/current?x=1").await,
    ] {
        problem(&reply, 400, "invalid_query");
    }
    let names: Vec<_> = [house.client.get("/v1/events").await, house.client.get("/v1/nothing").await]
        .map(|reply| reply.header("x-request-id").to_owned())
        .into();
    assert!(names.iter().all(|name| name.starts_with("req_")) && names[0] != names[1], "{names:?}");
}

#[tokio::test]
async fn bodies_with_unknown_fields_or_wrong_values_are_refused() {
    let house = House::new().await;
    let id = house.publish("{}").await;
    let before = house.stored().await;
    let event = format!("/v1/events/{id}");
    let operator = house.anyone.bearer(OPERATOR_KEY);
    let tenant = |fields: &str| {
        format!("{{\"tenant_id\":\"new-tenant\",\"target_url\":\"https://example.com/\"{fields}}}")
    };
    for (reply, code) in [
        (house.client.patch(&event, "{}").await, "invalid_body"),
        (house.client.patch(&event, "[").await, "invalid_body"),
        (house.client.patch(&event, r#"{"status":"DELIVERED"}"#).await, "invalid_field"),
        (house.client.patch(&event, r#"{"status":"PENDING","x":1}"#).await, "invalid_body"),
        (house.client.patch("/v1/tenants/current", "{}").await, "invalid_field"),
        (house.client.patch("/v1/tenants/current", r#"{"target_url":7}"#).await, "invalid_body"),
        (
            house.client.patch("/v1/tenants/current", r#"{"target_url":"http://10.0.0.1/"}"#).await,
            "invalid_field",
        ),
        (house.client.patch("/v1/tenants/current", r#"{"webhook_secret":"short"}"#).await, "invalid_field"),
        (house.client.post("/v1/dead-letters/requeue", r#"{"event_ids":["x"]}"#).await, "invalid_field"),
        (house.client.post("/v1/dead-letters/requeue", r#"{"after":"x"}"#).await, "invalid_field"),
        (house.client.post("/v1/dead-letters/purge", r#"{"all":true}"#).await, "invalid_body"),
        (operator.post("/v1/tenants", tenant(r#","x":1"#)).await, "invalid_body"),
        (operator.post("/v1/tenants", tenant(r#","webhook_secret":"whsec_no""#)).await, "invalid_field"),
        (
            operator.post("/v1/tenants", r#"{"tenant_id":"A","target_url":"https://example.com/"}"#).await,
            "invalid_field",
        ),
        (
            operator
                .post("/v1/tenants", r#"{"tenant_id":"new-tenant","target_url":"ftp://example.com/"}"#)
                .await,
            "invalid_field",
        ),
        (
            operator
                .post("/v1/tenants", r#"{"tenant_id":"current","target_url":"https://example.com/"}"#)
                .await,
            "invalid_field",
        ),
        (operator.post("/v1/tenants", r#"{"tenant_id":"new-tenant"}"#).await, "invalid_body"),
    ] {
        problem(&reply, 422, code);
    }
    assert_eq!(house.stored().await, before);
}

#[tokio::test]
async fn routes_that_take_no_body_refuse_what_is_in_one() {
    let house = House::new().await;
    let operator = house.anyone.bearer(OPERATOR_KEY);
    let nothings_id = "0".repeat(32);
    let mut routes = 0;
    for (path, item) in trunkline_api::document()["paths"].as_object().unwrap() {
        let path = path
            .replace("{event_id}", &format!("evt_{nothings_id}"))
            .replace("{endpoint_id}", &format!("ep_{nothings_id}"))
            .replace("{replay_id}", &format!("rpl_{nothings_id}"))
            .replace("{key_id}", &format!("key_{nothings_id}"))
            .replace("{tenant_id}", "nobody")
            .replace("{type}", "nothing");
        for (method, operation) in item.as_object().unwrap() {
            if method == "get" || operation.get("requestBody").is_some() {
                continue;
            }
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let asks_operator = operation["security"][0].get("operator").is_some();
            let client = if asks_operator { &operator } else { &house.client };
            let send =
                async |body: &'static str, headers| client.send(method.clone(), &path, body, headers).await;
            for body in [r#"{"dry_run":true}"#, "[]", "null", "{", " "] {
                problem(&send(body, JSON).await, 422, "invalid_body");
            }
            for headers in [&[][..], &[("content-type", "text/plain")]] {
                problem(&send("{}", headers).await, 415, "unsupported_media_type");
            }
            for (body, headers) in
                [("", &[][..]), ("", &[("content-type", "text/plain")]), ("", JSON), ("{}", JSON)]
            {
                assert_eq!(send(body, headers).await.status, 404, "{method} {path} {body:?}");
            }
            routes += 1;
        }
    }
    assert!(routes > 15, "{routes}");
}

#[tokio::test]
async fn where_every_field_may_be_left_out_so_may_the_body() {
    let house = House::new().await;
    let rotate = format!("/v1/endpoints/{}/rotate-secret", house.acme.endpoint_id);
    assert_eq!(post(&house, "/v1/dead-letters/requeue", "", &[]).await.json()["requeued"], 0);
    let rotated = post(&house, &rotate, "", &[]).await;
    assert!(rotated.json()["webhook_secret"].is_string(), "{}", rotated.json());
    for path in ["/v1/dead-letters/requeue", &rotate] {
        problem(&post(&house, path, "{}", &[]).await, 415, "unsupported_media_type");
        problem(&post(&house, path, r#"{"x":1}"#, JSON).await, 422, "invalid_body");
    }
    // What cannot be taken back is asked for in so many words.
    for path in ["/v1/dead-letters/purge", "/v1/replays"] {
        problem(&post(&house, path, "", &[]).await, 415, "unsupported_media_type");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_apart() {
    let house = House::new().await;
    problem(&house.client.get("/").await, 404, "not_found");
    problem(&house.client.get("/v1/nothing").await, 404, "not_found");
    problem(&house.client.get("/v1/docs/assets/../../Cargo.toml").await, 404, "not_found");
    for (method, path, allow) in [
        (Method::PUT, "/v1/events", "GET, HEAD, POST"),
        (Method::POST, "/v1/events/evt_1", "DELETE, GET, HEAD, PATCH"),
        (Method::GET, "/v1/events/evt_1/retry", "POST"),
        (Method::DELETE, "/v1/tenants/current", "GET, HEAD, PATCH"),
        (Method::GET, "/v1/dead-letters/purge", "POST"),
        (Method::PUT, "/v1/dead-letters?limit=1", "GET, HEAD"),
        (Method::TRACE, "/v1/tenants?limit=1", "GET, HEAD, POST"),
        (Method::POST, "/v1/openapi.json", "GET, HEAD"),
    ] {
        let reply = house.client.send(method, path, "", &[]).await;
        problem(&reply, 405, "method_not_allowed");
        assert_eq!(reply.header("allow"), allow, "{path}");
    }
}

#[tokio::test]
async fn an_id_that_is_none_is_an_event_that_does_not_exist() {
    let house = House::new().await;
    let unknown = "evt_01a20ada2c007abc8123456789abcdef";
    for id in [
        unknown,
        "evt_",
        "x",
        "01a20ada2c007abc8123456789abcdef",
        "evt_01A20ADA2C007ABC8123456789ABCDEF",
        "%00",
    ] {
        let path = format!("/v1/events/{id}");
        problem(&house.client.get(&path).await, 404, "event_not_found");
        problem(&house.client.get(&format!("{path}/attempts")).await, 404, "event_not_found");
        problem(&house.client.post(&format!("{path}/retry"), "").await, 404, "event_not_found");
        problem(&house.client.delete(&path).await, 404, "event_not_found");
        problem(&house.client.patch(&path, r#"{"status":"PENDING"}"#).await, 404, "event_not_found");
    }
}

#[tokio::test]
async fn broken_framing_and_too_many_headers_are_refused_by_the_library() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let house = House::new().await;
    let many: String = (0..200).map(|number| format!("x-{number}: y\r\n")).collect();
    for request in [
        "GARBAGE\r\n\r\n".to_owned(),
        "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}".to_owned(),
        "POST /v1/events HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\nzz\r\n".to_owned(),
        format!("GET /v1/events HTTP/1.1\r\nhost: x\r\n{many}\r\n"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", house.port())).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let is_client_error = answer.starts_with("HTTP/1.1 4");
        assert!(is_client_error, "{answer} for {}", &request[..request.len().min(60)]);
    }
}
