//! `migrate --distribute`, and doors on what it leaves. There is no Citus here: a stand-in writes down what it is asked for and refuses
//! what Citus refuses, and rows stay where they are. So this holds the command and the statements, and says nothing of a cluster.

use serde_json::Value;

use crate::catcher::Catcher;
use crate::http::post;
use crate::installation::Installation;
use crate::process::{eventually, json, text};

const KEYS: (&str, &str) = ("TRUNKLINE__SECRETS__KEYS", "old:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=");
const STAND_IN: &str = include_str!("../../../crates/store/tests/it/cluster/stand_in.sql");

#[test]
fn a_server_without_citus_is_refused_with_what_to_do() {
    let mut installation = Installation::open(&[], &[KEYS]);
    let output = installation.run(&["migrate", "--distribute", "citus"]);
    let told = text(&output.stderr);
    assert!(!output.status.success() && told.contains("shared_preload_libraries"), "{told}");
    let keys = "SELECT count(*)::text FROM pg_constraint WHERE contype = 'f' AND connamespace = 'trunkline'::regnamespace";
    assert_ne!(installation.sql(keys), "0", "nothing was changed");
    // Plain PostgreSQL has no findings of a cluster.
    assert!(verdicts(&doctor(&installation)).iter().all(|(name, _)| name != "distribution"));
}

#[test]
fn doors_deliver_shard_by_shard_and_the_doctor_finds_nothing() {
    let mut installation = Installation::open(
        &[("citus.shard_count", "32")],
        &[KEYS, ("TRUNKLINE__DELIVERY__RETRY_SCHEDULE", "100ms")],
    );
    installation.sql(STAND_IN);
    let answer = json(&installation.run(&["migrate", "--distribute", "citus", "--shards", "8", "--json"]));
    assert!(answer["distributed"].as_array().unwrap().len() > 10, "{answer}");
    let again = json(&installation.run(&["migrate", "--json"]));
    assert_eq!(again.get("distributed"), None, "a second time has nothing to do: {again}");
    let written = "SELECT string_agg(target, ' ') FROM trunkline.audit WHERE action = 'schema.distribute'";
    assert_eq!(installation.sql(written), "citus");

    let (api, worker, catcher) =
        (installation.start("api"), installation.start("worker"), Catcher::start(&[500]));
    for name in ["one", "two", "three", "four", "five", "six"] {
        let target = catcher.url(&format!("/{name}"));
        let made = json(&installation.run(&["tenant", "create", name, "--target-url", &target, "--json"]));
        let authorization = format!("Bearer {}", made["api_key"].as_str().unwrap());
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        for more in [("traceparent", ""), ("idempotency-key", "once"), ("trunkline-ordering-key", "the-same")]
        {
            let headers = [&headers[..], &[more]].concat();
            let (status, body) =
                post(&format!("{}/v1/events", api.url), &headers, r#"{"type":"order.created"}"#);
            assert_eq!(status, 201, "{body}");
        }
    }
    let delivered = "SELECT count(*)::text FROM trunkline.deliveries WHERE status = 'DELIVERED'";
    eventually("all are delivered, the one that was refused at a second attempt", || {
        (installation.sql(delivered) == "18").then_some(())
    });
    let lanes = "SELECT count(DISTINCT lane % 4)::text FROM trunkline.deliveries";
    assert_ne!(installation.sql(lanes), "1", "several shards took part");
    for (name, verdict) in verdicts(&doctor(&installation)) {
        let is_of_cluster =
            ["cluster", "distribution", "placements", "partitions there", "roles there", "tenants there"];
        assert!(!is_of_cluster.contains(&name.as_str()) || verdict == "ok", "{name}: {verdict}");
    }
    for log in [api.stop(), worker.stop()] {
        assert!(!log.contains("ERROR") && !log.contains(" WARN "), "{log}");
    }
}

/// Its report. It may find other things: a test's server does without fsync.
fn doctor(installation: &Installation) -> Value {
    serde_json::from_slice(&installation.run(&["doctor", "--json"]).stdout).unwrap()
}

fn verdicts(report: &Value) -> Vec<(String, String)> {
    let text = |check: &Value, field: &str| check[field].as_str().unwrap().to_owned();
    report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| (text(check, "name"), text(check, "verdict")))
        .collect()
}
