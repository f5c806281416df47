//! REST and SQL publish by one rule: one corpus, both doors.

use http::Method;
use serde_json::json;

use crate::house::{House, uuid};

/// Payloads, whether they are accepted, and what both doors must agree on.
const PAYLOADS: &[(&str, bool)] = &[
    ("{}", true),
    (" { \"a\" :\t1 }\n", true),
    (r#"{"type":"order.created","total":250}"#, true),
    (r#"{"event":"order.paid","total":1e3}"#, true),
    (r#"{"type":7,"event":"order.paid"}"#, true),
    (r#"{"t\u0079pe":"order.\u0063reated"}"#, true),
    (r#"{"a":1e999999,"total":500}"#, true),
    (r#"{"a":"1e999999","total":500}"#, true),
    (r#"{"a":1e1000,"total":500}"#, true),
    (r#"{"a":1E-1001,"total":500}"#, true),
    (r#"{"a":"\u0000","total":500}"#, true),
    (r#"{"a":"\\u0000","total":500}"#, true),
    (r#"{"a":"\ud83d\ude00","total":500}"#, true),
    (r#"{"a":{"a":{"a":[[],[{}]]}},"total":-1}"#, true),
    (r#"{"total":"500"}"#, true),
    (r#"{"total":[500]}"#, true),
    (r#"{"type":"two words"}"#, false),
    (r#"{"type":""}"#, false),
    ("", false),
    ("[]", false),
    ("1", false),
    ("null", false),
    ("{", false),
    ("{} {}", false),
    (r#"{"a":01}"#, false),
    (r#"{"a":NaN}"#, false),
    (r#"{'a':1}"#, false),
    (r#"{"a":1,}"#, false),
    (r#"{"a":1,"a":2}"#, false),
    (r#"{"a":1,"\u0061":2}"#, false),
    (r#"{"x":[{"b":1,"b":1}]}"#, false),
    (r#"{"a":"\ud800"}"#, false),
    (r#"{"\udc00":1}"#, false),
    ("{\"a\":\"\n\"}", false),
    ("\u{feff}{}", false),
];

/// What an event became: type, hash and size of the payload, whether it matched, and by which endpoints.
fn facts(event_id: &str) -> String {
    format!(
        "SELECT concat_ws(' ', e.type, encode(e.payload_sha256, 'hex'), e.payload_bytes, e.routed, p.payload,
                (SELECT string_agg(n.name, ',' ORDER BY n.name)
                 FROM trunkline.deliveries AS d JOIN trunkline.endpoints AS n USING (tenant_id, endpoint_id)
                 WHERE d.event_id = e.event_id))
         FROM trunkline.events AS e JOIN trunkline.payloads AS p USING (lane, tenant_id, event_id)
         WHERE e.event_id = '{}'",
        uuid(event_id)
    )
}

async fn furnished() -> House {
    let house = House::new().await;
    // Three more endpoints beside the one that takes everything.
    for (name, types, filter) in [
        ("orders", "'{order.*}'", "NULL"),
        ("large", "NULL", "'$.total > 100'"),
        ("paid", "'{order.paid}'", "'exists($.total)'"),
    ] {
        house
            .database
            .execute(&format!(
                "INSERT INTO trunkline.endpoints (tenant_id, endpoint_id, lane, name, url, event_types, payload_filter, created_at, updated_at)
                 SELECT tenant_id, gen_random_uuid(), lane, '{name}', url, {types}, {filter}, now(), now()
                 FROM trunkline.endpoints WHERE name = 'default'"
            ))
            .await;
    }
    house
}

#[tokio::test]
async fn rest_and_sql_accept_store_and_match_by_one_rule() {
    let house = furnished().await;
    let deepest = format!("{{\"a\":{}{}}}", "[".repeat(63), "]".repeat(63));
    let too_deep = format!("{{\"a\":{}{}}}", "[".repeat(64), "]".repeat(64));
    let judged = format!("{{\"total\":500,\"a\":\"{}\"}}", "x".repeat(65_000));
    let not_judged = format!("{{\"total\":500,\"a\":\"{}\"}}", "x".repeat(65_600));
    let largest = format!("{{\"a\":\"{}\"}}", "x".repeat(262_144 - 8));
    let too_large = format!("{{\"a\":\"{}\"}}", "x".repeat(262_144 - 7));
    let more = [
        (deepest.as_str(), true),
        (&too_deep, false),
        (&judged, true),
        (&not_judged, true),
        (&largest, true),
        (&too_large, false),
    ];
    for (payload, accepted) in PAYLOADS.iter().copied().chain(more) {
        let rest = house.post_event(payload).await;
        assert_eq!(
            rest.status == 201,
            accepted,
            "REST: {payload:.60} {}",
            String::from_utf8_lossy(&rest.body)
        );
        let quoted = payload.replace('\'', "''");
        let sql = format!("SELECT trunkline.publish('acme', NULL, '{quoted}')");
        let outcome = house.database.try_text(&sql).await;
        assert_eq!(outcome.is_ok(), accepted, "SQL: {payload:.60} {outcome:?}");
        if let Ok(event_id) = outcome {
            let by_rest = house.database.text(&facts(rest.json()["event_id"].as_str().unwrap())).await;
            assert_eq!(house.database.text(&facts(&event_id)).await, by_rest, "{payload:.60}");
        }
    }
}

#[tokio::test]
async fn a_payload_filter_lets_through_what_satisfies_it() {
    let house = furnished().await;
    let matched = async |payload: &str| {
        let id = house.publish(payload).await;
        let sql = format!(
            "SELECT string_agg(name, ' ' ORDER BY name) FROM trunkline.deliveries JOIN trunkline.endpoints USING (tenant_id, endpoint_id)
             WHERE event_id = '{}'",
            uuid(&id)
        );
        house.database.text(&sql).await
    };
    assert_eq!(matched(r#"{"total":250}"#).await, "default large");
    assert_eq!(matched(r#"{"total":100}"#).await, "default");
    assert_eq!(matched(r#"{"type":"order.paid","total":0}"#).await, "default orders paid");
    assert_eq!(matched(r#"{"type":"order.paid"}"#).await, "default orders");
    assert_eq!(
        matched(r#"{"total":250,"n":1e5000}"#).await,
        "default",
        "what cannot be judged does not match"
    );
    assert_eq!(
        matched(r#"{"total":250,"n":"\u0000"}"#).await,
        "default",
        "what cannot be judged does not match"
    );
}

/// Sets the filter of the endpoint `large`, past the rules for saving one, as an earlier release may have.
async fn set_filter(house: &House, filter: &str) {
    let sql = format!("UPDATE trunkline.endpoints SET payload_filter = '{filter}' WHERE name = 'large'");
    house.database.execute(&sql).await;
}

/// Which of the house's endpoints got an event.
async fn receivers(house: &House, event_id: &str) -> String {
    let sql = format!(
        "SELECT string_agg(name, ' ' ORDER BY name) FROM trunkline.deliveries JOIN trunkline.endpoints USING (tenant_id, endpoint_id)
         WHERE event_id = '{}'",
        uuid(event_id)
    );
    house.database.text(&sql).await
}

/// Publishes a payload by every way there is, and returns the ids.
async fn publish_by_every_way(house: &House, payload: &str) -> Vec<String> {
    let json = ("content-type", "application/json");
    let mut ids = Vec::new();
    for (name, value) in
        [("x-plain", "x"), ("idempotency-key", "keyed"), ("trunkline-ordering-key", "ordered")]
    {
        let reply =
            house.client.send(Method::POST, "/v1/events", payload.to_owned(), &[json, (name, value)]).await;
        assert_eq!(reply.status, 201, "{name}: {}", String::from_utf8_lossy(&reply.body));
        ids.push(reply.json()["event_id"].as_str().unwrap().to_owned());
    }
    let batch = format!(r#"{{"events":[{{"payload":{payload}}},{{"payload":{{}}}}]}}"#);
    let reply = house.client.post("/v1/events/batch", batch).await;
    assert_eq!(reply.status, 201, "batch: {}", String::from_utf8_lossy(&reply.body));
    ids.push(reply.json()["events"][0]["event_id"].as_str().unwrap().to_owned());
    ids.push(house.database.text(&format!("SELECT trunkline.publish('acme', NULL, '{payload}')")).await);
    ids
}

/// What `explain` says of the endpoint `large`, and `match` too.
async fn reason(house: &House, event_id: &str, payload: &str) -> String {
    let explained = house.client.get(&format!("/v1/events/{event_id}/explain")).await;
    let tried = house.client.post("/v1/match", format!(r#"{{"payload":{payload}}}"#)).await;
    let of = |reply: &trunkline_testkit::Reply| {
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        let answer = reply.json();
        let large =
            answer["endpoints"].as_array().unwrap().iter().find(|one| one["name"] == "large").unwrap();
        large["reason"].as_str().unwrap().to_owned()
    };
    assert_eq!(of(&explained), of(&tried));
    of(&explained)
}

#[tokio::test]
async fn a_filter_whose_cost_has_no_bound_is_asked_of_nothing_by_any_way() {
    let house = furnished().await;
    // Every element against every other: 10^8 comparisons.
    set_filter(&house, "$.a[*] ? (@ == $.b[*]) == 1").await;
    let list = |number: &'static str| vec![number; 15_000].join(",");
    let slow = format!("{{\"a\":[{}],\"b\":[{}]}}", list("0"), list("1"));
    assert!(slow.len() < 65_536, "{}", slow.len());
    for id in publish_by_every_way(&house, &slow).await {
        assert_eq!(receivers(&house, &id).await, "default");
        assert_eq!(reason(&house, &id, &slow).await, "payload_filter_refused");
    }
}

#[tokio::test]
async fn filters_that_take_too_many_steps_over_a_payload_do_not_match_by_any_way() {
    let house = furnished().await;
    set_filter(&house, &format!("exists($.a ? (@ == 0{}))", " || @ == 7".repeat(5))).await;
    let items = |count: usize| format!("{{\"a\":[{}0]}}", "1,".repeat(count));
    for (count, matched, why) in
        [(1_000, "default large", "matches"), (30_000, "default", "payload_filters_too_costly")]
    {
        let payload = items(count);
        assert!(payload.len() < 65_536);
        for id in publish_by_every_way(&house, &payload).await {
            assert_eq!(receivers(&house, &id).await, matched, "{count}");
            assert_eq!(reason(&house, &id, &payload).await, why);
        }
        house.database.execute("DELETE FROM trunkline.idempotency_keys").await;
    }
    // It is the filters together that count.
    set_filter(&house, "exists($.a ? (@ == 0))").await;
    let id = house.publish(&items(30_000)).await;
    assert_eq!(receivers(&house, &id).await, "default large");
    house.database.execute("UPDATE trunkline.endpoints SET payload_filter = 'exists($.a ? (@ == 0 || @ == 7))', event_types = NULL WHERE name = 'paid'").await;
    let id = house.publish(&items(30_000)).await;
    assert_eq!(receivers(&house, &id).await, "default");
}

#[tokio::test]
async fn a_tenant_whose_filters_are_dear_delays_no_other_with_filters() {
    let house = furnished().await;
    let (_, other) = house.tenant("globex").await;
    // As dear as may be.
    set_filter(&house, "exists($.a ? (@ == 7 || @ == 8 || @ == 9))").await;
    house
        .database
        .execute("UPDATE trunkline.endpoints SET payload_filter = '$.total > 100' WHERE tenant_id = 'globex'")
        .await;
    let dear = format!("{{\"a\":[{}0]}}", "1,".repeat(30_000));
    let ((), ()) = tokio::join!(
        async {
            let all = futures_util::future::join_all(
                (0..60).map(|_| house.client.post("/v1/events", dear.clone())),
            )
            .await;
            assert!(
                all.iter().all(|reply| matches!(reply.status, 201 | 503)),
                "it may wait too long for itself"
            );
            assert!(all.iter().any(|reply| reply.status == 201));
        },
        async {
            // Behind all of those each of the first would wait longer than it may; a busy machine may make one or two late.
            let mut accepted = 0;
            for _ in 0..5 {
                let reply = other.post("/v1/events", r#"{"total":500}"#).await;
                if reply.status == 201 {
                    accepted += 1;
                    assert_eq!(reply.json()["status"], "PENDING");
                }
            }
            assert!(accepted >= 3, "{accepted} of 5");
        },
    );
}

#[tokio::test]
async fn a_filter_counts_from_the_first_event_after_it_was_saved() {
    let house = House::new().await;
    let (_, other) = house.tenant("globex").await;
    // From here on the key is known, as one of a tenant without filters, for some seconds.
    house.publish("{}").await;
    house
        .database
        .execute("UPDATE trunkline.endpoints SET name = 'large', payload_filter = '$.total > 100'")
        .await;
    for (total, status) in [(500, "PENDING"), (5, "UNROUTED")] {
        let payload = format!("{{\"total\":{total}}}");
        let (_, theirs) = tokio::join!(
            async {
                for id in publish_by_every_way(&house, &payload).await {
                    let shown = house.client.get(&format!("/v1/events/{id}")).await.json();
                    assert_eq!(shown["event"]["status"], status, "{total}");
                }
            },
            other.post("/v1/events", "{}"),
        );
        assert_eq!(theirs.status, 201);
        house.database.execute("DELETE FROM trunkline.idempotency_keys").await;
    }
}

#[tokio::test]
async fn sql_publishes_with_the_callers_transaction() {
    let house = House::new().await;
    let mut connection = house.database.connect().await;
    let publish = "SELECT trunkline.publish('acme', 'order.created', '{\"n\":1}')";
    trunkline_testkit::run(&mut connection, "BEGIN").await;
    let rolled_back = trunkline_testkit::text(&mut connection, publish).await;
    trunkline_testkit::run(&mut connection, "ROLLBACK").await;
    trunkline_testkit::run(&mut connection, "BEGIN").await;
    let committed = trunkline_testkit::text(&mut connection, publish).await;
    assert_eq!(
        house.client.get(&format!("/v1/events/{committed}")).await.status,
        404,
        "not before the commit"
    );
    trunkline_testkit::run(&mut connection, "COMMIT").await;
    assert_eq!(house.client.get(&format!("/v1/events/{rolled_back}")).await.status, 404);
    let shown = house.client.get(&format!("/v1/events/{committed}")).await;
    assert_eq!((shown.status, &shown.json()["event"]["type"]), (200, &json!("order.created")));
}

#[tokio::test]
async fn literals_json_and_jsonb_find_their_overload_and_keep_their_bytes() {
    let house = House::new().await;
    for (argument, kept) in [
        (r#"'{"b": 1,  "a": 1.0}'"#, r#"{"b": 1,  "a": 1.0}"#),
        (r#"'{"b": 1,  "a": 1.0}'::text"#, r#"{"b": 1,  "a": 1.0}"#),
        (r#"'{"b": 1,  "a": 1.0}'::json"#, r#"{"b": 1,  "a": 1.0}"#),
        (r#"'{"b": 1,  "a": 1.0}'::jsonb"#, r#"{"a": 1.0, "b": 1}"#),
        ("jsonb_build_object('n', 1)", r#"{"n": 1}"#),
    ] {
        let id = house
            .database
            .text(&format!(
                "SELECT trunkline.publish(tenant_id => 'acme', type => 'a', payload => {argument})"
            ))
            .await;
        let sql = format!(
            "SELECT convert_from(payload, 'UTF8') FROM trunkline.payloads WHERE event_id = '{}'",
            uuid(&id)
        );
        assert_eq!(house.database.text(&sql).await, kept, "{argument}");
    }
}

#[tokio::test]
async fn idempotency_keys_are_one_space_for_both_doors() {
    let house = House::new().await;
    let headers =
        [("content-type", "application/json"), ("idempotency-key", "k"), ("trunkline-event-type", "a")];
    let by_rest = house.client.send(Method::POST, "/v1/events", r#"{"n":1}"#, &headers).await;
    let by_rest = by_rest.json()["event_id"].as_str().unwrap().to_owned();
    let publish = |key: &str, n: u32| {
        format!("SELECT trunkline.publish('acme', 'a', '{{\"n\":{n}}}', idempotency_key => '{key}')")
    };
    assert_eq!(house.database.text(&publish("k", 1)).await, by_rest);
    let error = house.database.try_text(&publish("k", 2)).await.unwrap_err();
    assert!(error.contains("another body"), "{error}");
    let by_sql = house.database.text(&publish("j", 1)).await;
    let headers =
        [("content-type", "application/json"), ("idempotency-key", "j"), ("trunkline-event-type", "a")];
    let again = house.client.send(Method::POST, "/v1/events", r#"{"n":1}"#, &headers).await;
    assert_eq!(again.json()["event_id"].as_str().unwrap(), by_sql);
    assert_eq!(again.header("idempotency-replayed"), "true");
}

#[tokio::test]
async fn sql_tells_what_is_wrong() {
    let house = House::new().await;
    house.database.execute("UPDATE trunkline.tenants SET status = 'ACTIVE'").await;
    for (arguments, words) in [
        ("'nobody', 'a', '{}'", "there is no tenant 'nobody'"),
        ("NULL, 'a', '{}'", "there is no tenant NULL"),
        ("'acme', 'two words', '{}'", "an event type is"),
        ("'acme', 'a', '[]'", "JSON object"),
        ("'acme', 'a', NULL::text", "a payload is"),
        ("'acme', 'a', '{}', idempotency_key => ''", "idempotency_key is"),
        ("'acme', 'a', '{}', ordering_key => repeat('k', 257)", "ordering_key is"),
        ("'acme', 'a', '{}', deliver_at => now() + interval '31 days'", "30 days ahead"),
        ("'acme', 'a', '{}', deliver_at => 'infinity'", "30 days ahead"),
        ("'acme', 'a', '{}', deliver_at => '-infinity'", "a point in time"),
    ] {
        let error =
            house.database.try_text(&format!("SELECT trunkline.publish({arguments})")).await.unwrap_err();
        assert!(error.contains(words), "{arguments}: {error}");
    }
    house.database.execute("UPDATE trunkline.tenants SET status = 'SUSPENDED'").await;
    let error = house.database.try_text("SELECT trunkline.publish('acme', 'a', '{}')").await.unwrap_err();
    assert!(error.contains("suspended"), "{error}");
}

#[tokio::test]
async fn a_publisher_may_publish_and_nothing_else() {
    let house = House::new().await;
    let mut connection = house.database.connect().await;
    trunkline_testkit::run(&mut connection, "SET ROLE trunkline_publisher").await;
    let id =
        trunkline_testkit::text(&mut connection, "SELECT trunkline.publish('acme', 'a', '{}'::jsonb)").await;
    assert!(id.starts_with("evt_"), "{id}");
    for sql in [
        "SELECT count(*) FROM trunkline.events",
        "SELECT count(*) FROM trunkline.api_keys",
        "SELECT trunkline.create_partitions(1, 1)",
        "INSERT INTO trunkline.lanes (lane) VALUES (1)",
    ] {
        let error = trunkline_testkit::try_text(&mut connection, sql).await;
        if sql.contains("create_partitions") {
            assert!(error.is_err(), "{sql}");
        } else {
            assert!(error.unwrap_err().contains("permission denied"), "{sql}");
        }
    }
}

#[tokio::test]
async fn a_watched_table_publishes_its_changes_with_the_transaction_that_makes_them() {
    let house = House::new().await;
    let database = &house.database;
    database.execute("CREATE TABLE public.orders (id int PRIMARY KEY, note text)").await;
    database.execute("SELECT trunkline.watch_table('public.orders', 'acme', 'order')").await;
    database.execute("INSERT INTO public.orders VALUES (1, 'new')").await;
    database.execute("UPDATE public.orders SET note = 'changed'").await;
    database.execute("DO $$ BEGIN DELETE FROM public.orders; RAISE EXCEPTION 'no' USING ERRCODE = 'P0001'; EXCEPTION WHEN raise_exception THEN NULL; END $$").await;
    database.execute("DELETE FROM public.orders").await;
    let payloads = "SELECT string_agg(type || ' ' || convert_from(payload, 'UTF8'), E'\\n' ORDER BY event_id)
                    FROM trunkline.events JOIN trunkline.payloads USING (lane, tenant_id, event_id)";
    let lines: Vec<(String, serde_json::Value)> = database
        .text(payloads)
        .await
        .lines()
        .map(|line| {
            line.split_once(' ')
                .map(|(name, json)| (name.to_owned(), serde_json::from_str(json).unwrap()))
                .unwrap()
        })
        .collect();
    let types: Vec<&str> = lines.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(types, ["order.inserted", "order.updated", "order.deleted"]);
    assert_eq!(lines[0].1["new"], json!({"id": 1, "note": "new"}));
    assert_eq!((&lines[1].1["old"]["note"], &lines[1].1["new"]["note"]), (&json!("new"), &json!("changed")));
    assert_eq!(lines[2].1["key"], json!({"id": 1}));
    assert_eq!(lines[2].1["table"], "public.orders");

    database.execute("INSERT INTO public.orders VALUES (2, repeat('x', 300000))").await;
    let last = "SELECT convert_from(payload, 'UTF8')::jsonb - 'type' FROM trunkline.payloads ORDER BY event_id DESC LIMIT 1";
    let truncated: serde_json::Value = serde_json::from_str(&database.text(last).await).unwrap();
    assert_eq!((&truncated["truncated"], &truncated["key"]), (&json!(true), &json!({"id": 2})));
    assert!(truncated.get("new").is_none());
}

#[tokio::test]
async fn a_table_that_is_watched_is_written_down() {
    let house = House::new().await;
    let create = "CREATE ROLE shop_that_watches LOGIN IN ROLE trunkline_publisher; CREATE SCHEMA shop AUTHORIZATION shop_that_watches;
                  CREATE TABLE shop.\"Orders\" (id integer); ALTER TABLE shop.\"Orders\" OWNER TO shop_that_watches";
    house.database.execute(create).await;
    let mut shop = house.database.connect().await;
    trunkline_testkit::run(&mut shop, "SET SESSION AUTHORIZATION shop_that_watches").await;
    for statement in [
        "SELECT trunkline.watch_table('shop.\"Orders\"', 'acme')",
        // Again: instead of the first, and for a tenant that does not exist yet.
        "SELECT trunkline.watch_table('shop.\"Orders\"', 'no such tenant', 'order')",
        "SELECT trunkline.unwatch_table('shop.\"Orders\"')",
        "SELECT trunkline.unwatch_table('shop.\"Orders\"')",
        "SELECT trunkline.note_watch('shop.\"Orders\"', false)",
    ] {
        trunkline_testkit::run(&mut shop, statement).await;
    }
    let written = "SELECT string_agg(concat_ws(' ', actor, action, tenant_id, target), '|' ORDER BY audit_id) FROM trunkline.audit";
    let row = |action: &str| format!("login:shop_that_watches table.{action} shop.\"Orders\"");
    let expected = [row("watch acme"), row("unwatch acme"), row("watch"), row("unwatch")];
    assert_eq!(house.database.text(written).await.split('|').collect::<Vec<_>>(), expected);
    // Operators read it like any other.
    let entries = house.anyone.bearer(trunkline_testkit::OPERATOR_KEY).get("/v1/audit").await.json();
    assert_eq!(entries["entries"].as_array().unwrap().len(), 4, "{entries}");
}

#[tokio::test]
async fn a_watched_table_takes_writes_though_they_cannot_be_published_unless_asked_to_be_strict() {
    let house = House::new().await;
    let database = &house.database;
    database.execute("CREATE TABLE public.orders (id int PRIMARY KEY)").await;
    database.execute("SELECT trunkline.watch_table('public.orders', 'acme')").await;
    database.execute("UPDATE trunkline.tenants SET status = 'SUSPENDED'").await;
    database.execute("INSERT INTO public.orders VALUES (1)").await;
    assert_eq!(database.text("SELECT count(*) FROM trunkline.events").await, "0");
    database.execute("SELECT trunkline.watch_table('public.orders', 'acme', strict => true)").await;
    let error = database.try_text("INSERT INTO public.orders VALUES (2) RETURNING id").await.unwrap_err();
    assert!(error.contains("suspended"), "{error}");
    database.execute("SELECT trunkline.unwatch_table('public.orders')").await;
    database.execute("INSERT INTO public.orders VALUES (3)").await;
    assert_eq!(database.text("SELECT count(*) FROM public.orders").await, "2");
    let error =
        database.try_text("SELECT trunkline.watch_table('trunkline.tenants', 'acme')").await.unwrap_err();
    assert!(error.contains("cannot be watched") || error.contains("no table that can be watched"), "{error}");
}

#[tokio::test]
async fn a_watched_table_takes_what_no_event_can_say_and_sends_the_key() {
    let house = House::new().await;
    let database = &house.database;
    database.execute("CREATE TABLE public.notes (id int PRIMARY KEY, note json)").await;
    database.execute("SELECT trunkline.watch_table('public.notes', 'acme')").await;
    let last = "SELECT convert_from(payload, 'UTF8')::jsonb - 'type' - 'table' FROM trunkline.payloads ORDER BY event_id DESC LIMIT 1";
    let json = async || serde_json::from_str::<serde_json::Value>(&database.text(last).await).unwrap();
    for (id, note) in [r#"{"a":"\u0000"}"#, r#"{"n":1e999999}"#, r#""\ud800""#].iter().enumerate() {
        database.execute(&format!("INSERT INTO public.notes VALUES ({id}, '{note}')")).await;
        assert_eq!(
            json().await,
            json!({"operation": "inserted", "key": {"id": id}, "truncated": true}),
            "{note}"
        );
        database.execute(&format!("UPDATE public.notes SET note = '{note}' WHERE id = {id}")).await;
        assert_eq!(json().await["operation"], "updated");
        database.execute(&format!("DELETE FROM public.notes WHERE id = {id}")).await;
        assert_eq!(
            json().await,
            json!({"operation": "deleted", "key": {"id": id}, "truncated": true}),
            "{note}"
        );
    }
    // Without a key there is nothing to name.
    database.execute("CREATE TABLE public.bare (note json)").await;
    database.execute("SELECT trunkline.watch_table('public.bare', 'acme')").await;
    database.execute(r#"INSERT INTO public.bare VALUES ('"\u0000"')"#).await;
    assert_eq!(json().await, json!({"operation": "inserted", "key": null, "truncated": true}));
}

#[tokio::test]
async fn a_watched_table_says_of_a_row_what_the_row_is() {
    let house = House::new().await;
    let database = &house.database;
    database.execute("CREATE TABLE public.orders (id int PRIMARY KEY, note text, extra jsonb)").await;
    database.execute("SELECT trunkline.watch_table('public.orders', 'acme')").await;
    database.execute(r#"INSERT INTO public.orders VALUES (1, 'new', '{"a":null}')"#).await;
    database.execute("UPDATE public.orders SET note = NULL").await;
    let last = "SELECT convert_from(payload, 'UTF8') FROM trunkline.payloads ORDER BY event_id DESC LIMIT 1";
    let updated: serde_json::Value = serde_json::from_str(&database.text(last).await).unwrap();
    assert_eq!(updated["old"], json!({"id": 1, "note": "new", "extra": {"a": null}}));
    assert_eq!(updated["new"], json!({"id": 1, "note": null, "extra": {"a": null}}));
}

#[tokio::test]
async fn a_filter_that_postgres_cannot_evaluate_does_not_match_and_fails_nothing() {
    let house = furnished().await;
    // A time with an offset cannot be compared with a date unless a time zone is given; PostgreSQL says so with an error that its
    // silent mode does not hold back.
    house
        .database
        .execute(
            r#"UPDATE trunkline.endpoints SET payload_filter = '$.at.datetime() < "2026-06-01".datetime()' WHERE name = 'large'"#,
        )
        .await;
    for (at, expected) in
        [("2026-01-01", "2"), ("2026-07-01", "1"), ("2026-01-01T00:00:00+01:00", "1"), ("noon", "1")]
    {
        let payload = json!({ "at": at }).to_string();
        let by_rest = house.publish(&payload).await;
        let by_sql =
            house.database.text(&format!("SELECT trunkline.publish('acme', NULL, '{payload}')")).await;
        assert_eq!(house.client.get(&format!("/v1/events/{by_rest}/explain")).await.status, 200, "{at}");
        for id in [by_rest, by_sql] {
            let sql = format!("SELECT count(*) FROM trunkline.deliveries WHERE event_id = '{}'", uuid(&id));
            assert_eq!(house.database.text(&sql).await, expected, "{at}");
        }
    }
}
