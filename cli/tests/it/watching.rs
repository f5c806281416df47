//! What those who run it see: metrics, logs, `trunkline top`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::catcher::Catcher;
use crate::house::House;
use crate::http::{ask, get, post};
use crate::process::{eventually, json as printed, text};

/// What a metric of ours is called; other names that begin alike are schemas and programs.
const FAMILIES: [&str; 7] = ["api_", "worker_", "receiver_", "queue_", "database_", "partitions_", "build_"];

#[test]
fn every_metric_that_is_named_is_there_and_the_other_way_round() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(&folder.path().join("data"), &["--ephemeral"]);
    deliver(&house, "test-tenant");
    let families = eventually("every family", || {
        let page = metrics(&house);
        let families: BTreeSet<String> = page
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned))
            .filter(|name| name.starts_with("trunkline_"))
            .collect();
        // The sampler's first look may still be on its way, and all that it shows has a value then.
        page.contains("trunkline_database_up 1").then_some(families)
    });
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut named = BTreeSet::new();
    for place in ["deploy/grafana", "deploy/alerts", "docs"] {
        collect(&root.join(place), &mut named);
    }
    assert!(named.len() > 30, "the names were not found: {named:?}");
    let missing: Vec<_> = named.difference(&families).collect();
    assert!(missing.is_empty(), "named, and not there: {missing:?}");
    let watching = fs::read_to_string(root.join("docs/WATCHING.md")).unwrap();
    let undescribed: Vec<_> =
        families.iter().filter(|name| !watching.contains(&format!("`{name}`"))).collect();
    assert!(undescribed.is_empty(), "there, and not in docs/WATCHING.md: {undescribed:?}");
    house.stop_by("TERM");
}

#[test]
fn neither_tenants_nor_strangers_make_more_series() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(&folder.path().join("data"), &["--ephemeral"]);
    let operator = format!("Bearer {}", house.get("operator_key"));
    let create = |tenant_id: &str| {
        let target = format!("{}/{tenant_id}/webhook", house.get("receiver_url"));
        let body = json!({"tenant_id": tenant_id, "target_url": target}).to_string();
        let headers = [("authorization", operator.as_str()), ("content-type", "application/json")];
        let (status, body) = post(&format!("{}/v1/tenants", house.get("api_url")), &headers, &body);
        assert_eq!(status, 201, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["api_key"].as_str().unwrap().to_owned()
    };
    let publish = |key: &str, number: usize| {
        let authorization = format!("Bearer {key}");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let payload = json!({"type": format!("type.{number}"), "n": number}).to_string();
        assert_eq!(post(&format!("{}/v1/events", house.get("api_url")), &headers, &payload).0, 201);
    };
    let stranger = |number: usize| {
        let (url, key) = (house.get("api_url"), house.key("test-tenant"));
        let (status, _) = ask(&format!("X-BREW-{number}"), &format!("{url}/v1/events"), Some(key));
        assert_eq!(status, 405);
        assert_eq!(get(&format!("{url}/v1/nowhere/{number}"), Some(key)).0, 404);
    };
    let delivered = |count: f64| {
        let name = "trunkline_worker_attempts_total{outcome=\"succeeded\"} ";
        eventually(&format!("{count} deliveries"), || {
            let page = metrics(&house);
            let line = page.lines().find_map(|line| line.strip_prefix(name))?;
            (line.parse::<f64>().unwrap() >= count).then_some(page)
        })
    };
    publish(&create("tenant-0"), 0);
    stranger(0);
    let before = series(&delivered(1.0));
    assert!(before.len() > 300, "{}", before.len());
    for number in 1..=50 {
        publish(&create(&format!("tenant-{number}")), number);
        stranger(number);
    }
    let after = series(&delivered(51.0));
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.is_empty(), "new series: {new:?}");
    house.stop_by("TERM");
}

#[test]
fn openmetrics_is_for_those_who_ask_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(&folder.path().join("data"), &["--ephemeral"]);
    let url = format!("{}/metrics", house.get("admin_url"));
    let page = |accept: &str| {
        let mut answer = ureq::get(&url).header("accept", accept).call().unwrap();
        let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
        (content_type, answer.body_mut().read_to_string().unwrap())
    };
    let (content_type, text) = page("application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    assert!(content_type.starts_with("application/openmetrics-text; version=1.0.0"), "{content_type}");
    assert!(text.ends_with("\n# EOF\n"), "{text}");
    assert!(
        text.contains("# TYPE trunkline_worker_claimed counter\ntrunkline_worker_claimed_total "),
        "{text}"
    );
    let (content_type, text) = page("*/*");
    assert!(content_type.starts_with("text/plain; version=0.0.4"), "{content_type}");
    assert!(text.contains("# TYPE trunkline_worker_claimed_total counter\n"), "{text}");
    house.stop_by("TERM");
}

#[test]
fn a_log_line_in_json_has_the_id_that_the_caller_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [("TRUNKLINE__LOG__FORMAT", "json")];
    let options = ["--ephemeral", "--log", "info,trunkline_api=debug"];
    let house = House::start_with(&folder.path().join("data"), &options, &variables);
    let answer = ureq::get(format!("{}/v1/events", house.get("api_url")))
        .header("authorization", format!("Bearer {}", house.key("test-tenant")))
        .call()
        .unwrap();
    let request_id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    let stderr = house.stop_by("TERM");
    let lines: Vec<Value> = stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let line = lines.iter().find(|line| line["request.id"] == request_id.as_str());
    let line = line.unwrap_or_else(|| panic!("{request_id} is not in {stderr}"));
    assert_eq!((&line["http.route"], &line["http.status"]), (&json!("/v1/events"), &json!(200)));
    assert_eq!(line["level"], "DEBUG");
}

#[test]
fn top_shows_what_waits_and_who_serves_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let house = House::start(&data, &[]);
    let switch = format!("{}/test-tenant/disable", house.get("receiver_url"));
    assert_eq!(post(&switch, &[], "").0, 200);
    let sent = house.send(r#"{"type":"order.paid"}"#);
    house.await_status(sent["event_id"].as_str().unwrap(), "test-tenant", "FAILED");

    let admin_url = house.get("admin_url").to_owned();
    let shown = printed(&house.run(&["top", "--once", "--json", "--admin-url", &admin_url]));
    let queue = &shown["queue"];
    let due: i64 =
        queue["due"].as_array().unwrap().iter().map(|due| due["deliveries"].as_i64().unwrap()).sum();
    let open = due + queue["scheduled"].as_i64().unwrap() + queue["in_flight"].as_i64().unwrap();
    assert_eq!((open, &queue["is_estimate"]), (1, &json!(false)), "{shown}");
    assert_eq!(shown["endpoints"][0]["tenant_id"], "test-tenant", "{shown}");
    assert!(shown["endpoints"][0]["failing_seconds"].is_number(), "{shown}");
    assert_eq!((&shown["workers"][0]["lanes"], &shown["lanes_unowned"]), (&json!(64), &json!(0)));
    assert!(shown["partitions_ahead_days"].as_i64().unwrap() >= 2, "{shown}");
    let figures = shown["processes"][0]["figures"].as_array().unwrap();
    assert!(figures.contains(&json!(["events published", 1.0])), "{shown}");

    let shown = text(&house.run(&["top", "--once"]).stdout);
    for word in ["attempts ", "lanes without a worker 0", "QUEUE", "WORKER", "test-tenant", "due later"] {
        assert!(shown.contains(word), "{word} is not in {shown}");
    }
    // It draws on terminals only.
    let refused = house.run(&["top"]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("--once"), "{}", text(&refused.stderr));
    let away = house.run(&["top", "--once", "--admin-url", "http://127.0.0.1:9"]);
    assert_eq!(away.status.code(), Some(69), "{}", text(&away.stderr));
    house.stop_by("TERM");
}

#[test]
fn without_a_collector_nothing_is_traced_and_what_came_is_sent_on() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(&folder.path().join("data"), &["--ephemeral"]);
    let endpoint = Catcher::start(&[]);
    let key = format!("Bearer {}", house.key("acme"));
    let headers = [("authorization", key.as_str()), ("content-type", "application/json")];
    let body = json!({"name": "caught", "url": endpoint.url("/hook")}).to_string();
    assert_eq!(post(&format!("{}/v1/endpoints", house.get("api_url")), &headers, &body).0, 201);
    let events = format!("{}/v1/events", house.get("api_url"));
    assert_eq!(post(&events, &headers, "{}").0, 201);
    assert_eq!(endpoint.wait_for(1)[0].header("traceparent"), "");
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [headers[0], headers[1], ("traceparent", trace)];
    assert_eq!(post(&events, &headers, "{}").0, 201);
    assert_eq!(endpoint.wait_for(2)[1].header("traceparent"), trace);
    house.stop_by("TERM");
}

fn metrics(house: &House) -> String {
    get(&format!("{}/metrics", house.get("admin_url")), None).1
}

/// Names and labels, without values.
fn series(page: &str) -> BTreeSet<String> {
    let lines = page.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series.to_owned()).collect()
}

/// Publishes, and waits for the delivery.
fn deliver(house: &House, tenant_id: &str) {
    let sent = house.send(r#"{"type":"order.paid"}"#);
    house.await_status(sent["event_id"].as_str().unwrap(), tenant_id, "DELIVERED");
}

/// Adds the names of metrics in every file of a folder.
fn collect(folder: &Path, named: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, named);
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for part in text.split("trunkline_").skip(1) {
            let name: String =
                part.chars().take_while(|one| one.is_ascii_lowercase() || *one == '_').collect();
            if FAMILIES.iter().any(|family| name.starts_with(family)) {
                let name = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|end| name.strip_suffix(end))
                    .unwrap_or(&name);
                named.insert(format!("trunkline_{name}"));
            }
        }
    }
}
