//! `trunkline secrets`: keys change while doors run.

use std::fs;

use serde_json::{Value, json};

use crate::http::{get, post};
use crate::installation::{Door, Installation};
use crate::process::{eventually, json, text};

const OPERATOR_KEY: &str = "operator-key-of-this-test";
const OLD: &str = "old:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const NEW: &str = "new:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

/// The keys lie in a file, as Kubernetes mounts a secret.
fn installation(keys: &[&str]) -> Installation {
    let mut installation = Installation::open(
        &[],
        &[
            ("TRUNKLINE__OPERATOR__KEYS", OPERATOR_KEY),
            // For `migrate`, which needs none; doors get those of the file.
            ("TRUNKLINE__SECRETS__KEYS", ""),
        ],
    );
    let file = installation.folder.path().join("secrets-keys").to_str().unwrap().to_owned();
    installation.set("TRUNKLINE__SECRETS__KEYS_FILE", &file);
    write_keys(&installation, keys);
    installation
}

fn write_keys(installation: &Installation, keys: &[&str]) {
    fs::write(installation.folder.path().join("secrets-keys"), keys.join("\n")).unwrap();
}

/// A tenant whose deliveries go to the receiver, which verifies their signatures, and its key.
fn tenant(api: &Door, receiver: &Door) -> String {
    let body = json!({"tenant_id": "acme", "target_url": format!("{}/acme/webhook", receiver.url)});
    let made = send(&format!("{}/v1/tenants", api.url), OPERATOR_KEY, &body, 201);
    made["api_key"].as_str().unwrap().to_owned()
}

fn send(url: &str, key: &str, body: &Value, status: u16) -> Value {
    let headers = [("authorization", &*format!("Bearer {key}")), ("content-type", "application/json")];
    let (found, answer) = post(url, &headers, &body.to_string());
    assert_eq!(found, status, "{answer}");
    serde_json::from_str(&answer).unwrap()
}

/// Publishes an event, and waits until every endpoint has it.
fn deliver(api: &Door, key: &str) {
    let made = send(&format!("{}/v1/events", api.url), key, &json!({"type": "key.rotated"}), 201);
    let url = format!("{}/v1/events/{}", api.url, made["event_id"].as_str().unwrap());
    eventually("the event is delivered", || {
        let shown: Value = serde_json::from_str(&get(&url, Some(key)).1).unwrap();
        (shown["event"]["status"] == "DELIVERED").then_some(())
    });
}

fn check<'a>(doctor: &'a Value, name: &str) -> &'a Value {
    doctor["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap()
}

/// It fails here whatever the keys are: the server of a test does not sync.
fn doctor(installation: &Installation) -> Value {
    serde_json::from_slice(&installation.run(&["doctor", "--json"]).stdout).unwrap()
}

#[test]
fn keys_are_rotated_beside_running_doors_and_the_old_one_is_needed_no_more() {
    let mut installation = installation(&[OLD]);
    let doors = |installation: &Installation| {
        (installation.start("api"), installation.start("worker"), installation.start("receiver"))
    };
    let stop = |(api, worker, receiver): (Door, Door, Door)| {
        for door in [api, worker, receiver] {
            let log = door.stop();
            assert!(!log.contains("cannot be opened"), "{log}");
        }
    };

    // Every process learns of the new key before anything is sealed under it.
    write_keys(&installation, &[OLD, NEW]);
    let running = doors(&installation);
    let (api, _, receiver) = &running;
    let key = tenant(api, receiver);
    let endpoint = json!({"name": "second", "url": format!("{}/acme/webhook/second", receiver.url),
        "custom_headers": {"authorization": "Bearer of-acme", "x-team": "orders"}});
    send(&format!("{}/v1/endpoints", api.url), &key, &endpoint, 201);
    deliver(api, &key);

    // The new key seals.
    write_keys(&installation, &[NEW, OLD]);
    let status = json(&installation.run(&["secrets", "status", "--json"]));
    assert_eq!(
        status["keys"],
        json!([
            {"key_id": "new", "secrets": 0, "header_values": 0, "state": "seals"},
            {"key_id": "old", "secrets": 2, "header_values": 2, "state": "opens"},
        ])
    );
    let told = doctor(&installation);
    assert_eq!(check(&told, "sealed")["verdict"], "warn", "{told}");

    // Stopped in the middle by the database, it goes on where it was.
    installation.sql(
        "CREATE FUNCTION public.stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF (SELECT count(*) FROM trunkline.endpoint_secrets WHERE key_id = 'new') > 0 THEN RAISE 'stopped'; END IF;
             RETURN new; END $$",
    );
    installation.sql("CREATE TRIGGER stop BEFORE UPDATE ON trunkline.endpoint_secrets FOR EACH ROW EXECUTE FUNCTION public.stop()");
    let stopped = installation.run(&["secrets", "reencrypt", "--batch", "1"]);
    assert_eq!(stopped.status.code(), Some(1), "{}", text(&stopped.stderr));
    let by_key = "SELECT string_agg(key_id, ',' ORDER BY key_id) FROM trunkline.endpoint_secrets";
    assert_eq!(installation.sql(by_key), "new,old");
    deliver(api, &key);
    installation.sql("DROP TRIGGER stop ON trunkline.endpoint_secrets");

    let done = json(&installation.run(&["secrets", "reencrypt", "--batch", "1", "--json"]));
    assert_eq!((&done["sealed_again"], &done["left"]), (&json!(3), &json!(0)), "{done}");
    assert_eq!(done["keys"][1]["state"], "unused", "{done}");
    let shown = text(&installation.run(&["secrets", "status"]).stdout);
    assert!(shown.contains("it may be removed from secrets.keys"), "{shown}");
    deliver(api, &key);
    let receiver_before = receiver.url.clone();
    stop(running);

    write_keys(&installation, &[NEW]);
    let receiver = installation.start("receiver");
    let moved =
        format!("UPDATE trunkline.endpoints SET url = replace(url, '{receiver_before}', '{}')", receiver.url);
    installation.sql(&moved);
    let running = (installation.start("api"), installation.start("worker"), receiver);
    deliver(&running.0, &key);
    let told = doctor(&installation);
    assert_eq!(check(&told, "sealed")["verdict"], "ok", "{told}");
    stop(running);
}

#[test]
fn a_key_that_is_missing_is_told_and_what_it_sealed_is_left_as_it_is() {
    let mut installation = installation(&[OLD]);
    let made = json(&installation.run(&[
        "tenant",
        "create",
        "acme",
        "--target-url",
        "http://127.0.0.1:9999/",
        "--json",
    ]));
    assert!(made["webhook_secret"].as_str().unwrap().starts_with("whsec_"));
    // Written by hand: in the clear until it is sealed.
    installation.sql(r#"UPDATE trunkline.endpoints SET custom_headers = '{"x-token": "by hand"}'"#);
    let sealed = "SELECT key_id || encode(sealed, 'hex') FROM trunkline.endpoint_secrets";
    let before = installation.sql(sealed);

    write_keys(&installation, &[NEW]);
    let doctor = installation.run(&["doctor", "--json"]);
    assert_eq!(doctor.status.code(), Some(1));
    let doctor: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    assert_eq!(check(&doctor, "sealed")["verdict"], "fail", "{doctor}");
    assert_eq!(check(&doctor, "sealed")["seen"], "1 under old, which secrets.keys does not have");
    let refused = installation.run(&["secrets", "reencrypt"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("no key has the id \"old\""), "{}", text(&refused.stderr));
    assert!(text(&refused.stdout).contains("MISSING"), "{}", text(&refused.stdout));
    assert_eq!(installation.sql(sealed), before);
    let header = installation.sql("SELECT custom_headers->>'x-token' FROM trunkline.endpoints");
    assert!(header.starts_with("sealed:new:"), "what could be sealed is: {header}");

    write_keys(&installation, &[NEW, OLD]);
    let done = json(&installation.run(&["secrets", "reencrypt", "--json"]));
    assert_eq!((&done["sealed_again"], &done["not_opened"]), (&json!(1), &json!(0)), "{done}");
}
