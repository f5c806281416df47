use crate::house::House;
use crate::process::{eventually, json, text};

#[test]
fn operators_work_straight_on_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(&folder.path().join("data"), &[]);

    let migrated = json(&house.run(&["migrate", "--json"]));
    assert_eq!(migrated["applied"].as_array().unwrap().len(), 0);
    assert_eq!(json(&house.run(&["migrate", "--wait", "10s", "--json"]))["ready"], true);

    let doctor = json(&house.run(&["doctor", "--json"]));
    assert_eq!(doctor["ok"], true, "{doctor}");
    for name in [
        "settings",
        "secrets.keys",
        "database",
        "schema",
        "clock",
        "fsync",
        "synchronous_commit",
        "rights",
        "row security",
        "policies",
        "way round it",
        "others' rights",
        "partitions",
        "queue",
        "payload filters",
        "sealed",
        "dead rows",
        "history",
        "settings in use",
        "settings used",
        "restore",
    ] {
        let check = doctor["checks"].as_array().unwrap().iter().find(|check| check["name"] == name);
        assert_eq!(check.unwrap()["verdict"], "ok", "{doctor}");
    }
    let healthy = house.run(&["doctor"]);
    assert!(text(&healthy.stdout).contains("ok    schema"), "{}", text(&healthy.stdout));

    tenants(&house);
    endpoints(&house);
    keys(&house);
    retention(&house);
    restore(&house);
    a_tenants_end(&house);
    audit(&house);
    house.stop_by("TERM");
}

fn tenants(house: &House) {
    let target = "https://example.com/hooks";
    let made = json(&house.run(&["tenant", "create", "initech", "--target-url", target, "--json"]));
    assert!(made["api_key"].as_str().unwrap().starts_with("tl_"));
    assert!(made["webhook_secret"].as_str().unwrap().starts_with("whsec_"));
    let again = house.run(&["tenant", "create", "initech", "--target-url", target]);
    assert_eq!(again.status.code(), Some(1), "{}", text(&again.stderr));

    let status = || {
        let listed = json(&house.run(&["tenant", "list", "--json"]));
        let tenants = listed["tenants"].as_array().unwrap().clone();
        assert_eq!(tenants.len(), 4);
        let found = tenants.into_iter().find(|tenant| tenant["tenant_id"] == "initech").unwrap();
        assert_eq!(found["target_url"], target);
        found["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status(), "ACTIVE");
    json(&house.run(&["tenant", "suspend", "initech", "--json"]));
    assert_eq!(status(), "SUSPENDED");
    json(&house.run(&["tenant", "resume", "initech", "--json"]));
    assert_eq!(status(), "ACTIVE");
    assert_eq!(house.run(&["tenant", "suspend", "nobody"]).status.code(), Some(3));
}

fn retention(house: &House) {
    let set = json(&house.run(&["tenant", "update", "initech", "--retention-days", "7", "--json"]));
    assert_eq!(set["retention_days"], 7);
    let report = json(&house.run(&["retention", "--apply", "--json"]));
    assert_eq!(report["retention"]["events_days"], 90);
    let today = report["days"].as_array().unwrap().last().unwrap().clone();
    assert!(
        today["payload_bytes"].as_i64().unwrap() > 0 && today["metadata_bytes"].as_i64().unwrap() > 0,
        "{today}"
    );
    assert!(today["payloads_go"].as_str().unwrap() < today["rest_goes"].as_str().unwrap(), "{today}");
    assert!(today["kept_until"].is_null(), "it was not brought back: {today}");
    let shorter = &report["shorter"][0];
    assert_eq!((&shorter["tenant_id"], &shorter["days"]), (&"initech".into(), &7.into()), "{report}");
    let shown = text(&house.run(&["retention"]).stdout);
    assert!(shown.contains("kept for a shorter time"), "{shown}");
    assert_eq!(house.run(&["tenant", "update", "nobody", "--burst", "1"]).status.code(), Some(3));
    let none = house.run(&["tenant", "update", "initech", "--retention-days", "0"]);
    assert_eq!(none.status.code(), Some(2));
    assert_eq!(house.run(&["tenant", "update", "initech"]).status.code(), Some(2), "nothing is named");
}

fn restore(house: &House) {
    let paused = || {
        let shown = json(&house.run(&["endpoints", "list", "--tenant", "acme", "--json"]));
        shown["endpoints"][0]["paused"].as_bool().unwrap()
    };
    assert!(!paused());
    let held = json(&house.run(&["restore", "hold", "--json"]));
    assert!(held["held_endpoints"].as_i64().unwrap() >= 4, "{held}");
    assert!(paused());
    let again = json(&house.run(&["restore", "hold", "--json"]));
    assert_eq!(again["held_endpoints"], held["held_endpoints"]);
    let doctor = text(&house.run(&["doctor"]).stdout);
    assert!(doctor.contains("warn  restore"), "{doctor}");
    let released = json(&house.run(&["restore", "release", "--json"]));
    assert_eq!(released["released_endpoints"], held["held_endpoints"]);
    assert!(!paused());
}

fn a_tenants_end(house: &House) {
    assert_eq!(house.run(&["tenant", "delete", "globex"]).status.code(), Some(2), "--yes is asked for");
    let deleted = json(&house.run(&["tenant", "delete", "globex", "--yes", "--json"]));
    assert_eq!((&deleted["status"], &deleted["keys_revoked"]), (&"DELETED".into(), &1.into()), "{deleted}");
    let list = house.run(&["events", "list", "--tenant", "globex"]);
    assert_eq!(list.status.code(), Some(4), "its key is refused: {}", text(&list.stderr));
    assert_eq!(house.run(&["tenant", "delete", "nobody", "--yes"]).status.code(), Some(3));
    let again = house.run(&["tenant", "create", "globex", "--target-url", "https://example.com/"]);
    assert_eq!(again.status.code(), Some(1), "its id is never given again");
}

fn endpoints(house: &House) {
    let add =
        |tenant: &str, name: &str, url: &str| house.run(&["endpoint", "add", tenant, name, url, "--json"]);
    let target = "https://example.com/second";
    let made = json(&add("initech", "second", target));
    assert_eq!(
        (&made["tenant_id"], &made["name"], &made["url"]),
        (&"initech".into(), &"second".into(), &target.into())
    );
    assert!(made["webhook_secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(add("initech", "second", target).status.code(), Some(1), "the name is taken");
    assert_eq!(add("initech", "default", target).status.code(), Some(1), "so is that of the first");
    assert_eq!(add("nobody", "second", target).status.code(), Some(3));
    assert_eq!(add("initech", "third", "ftp://example.com/").status.code(), Some(2));
    assert_eq!(add("initech", "operational", target).status.code(), Some(2), "that has a command of its own");
    assert_eq!(
        json(&add("initech", "third", "HTTPS://Example.com:443/third"))["url"],
        "https://example.com/third"
    );
    addresses(house);
}

/// What the api would not save, its operators' commands do not save either.
fn addresses(house: &House) {
    let before = json(&house.run(&["tenant", "list", "--json"]));
    for refused in [
        "http://169.254.169.254/latest/",
        "http://10.0.0.1/",
        "http://[::ffff:10.0.0.1]/",
        "http://0x0a000001/",
        "http://example.com:6379/",
        "https://u:p@example.com/",
        "https://example.com/a b",
    ] {
        for command in [
            &["tenant", "create", "hooli", "--target-url", refused][..],
            &["tenant", "update", "initech", "--target-url", refused],
            &["endpoint", "add", "initech", "fourth", refused],
        ] {
            let output = house.run(command);
            assert_eq!(output.status.code(), Some(2), "{refused}: {}", text(&output.stdout));
            assert!(!text(&output.stderr).contains("u:p@"), "{}", text(&output.stderr));
        }
    }
    assert_eq!(json(&house.run(&["tenant", "list", "--json"])), before, "nothing was saved");
    let canonical =
        ["tenant", "update", "initech", "--target-url", "HTTPS://Example.com:443/hooks", "--json"];
    assert_eq!(json(&house.run(&canonical))["target_url"], "https://example.com/hooks");
    let current = ["tenant", "create", "current", "--target-url", "https://example.com/"];
    assert_eq!(house.run(&current).status.code(), Some(2), "paths mean another by that name");
}

fn keys(house: &House) {
    let made = json(&house.run(&[
        "key",
        "create",
        "acme",
        "--name",
        "reports",
        "--read-only",
        "--expires-in",
        "1day",
        "--json",
    ]));
    let (key, key_id) = (made["api_key"].as_str().unwrap(), made["key_id"].as_str().unwrap());
    let list = |key: &str| house.run(&["events", "list", "--api-key", key, "--json"]);
    json(&list(key));
    let publish = house.run(&["send", "Cargo.toml", "--api-key", key]);
    assert_eq!(
        publish.status.code(),
        Some(4),
        "a read-only key publishes nothing: {}",
        text(&publish.stderr)
    );

    let listed = json(&house.run(&["key", "list", "acme", "--json"]));
    let found =
        listed["keys"].as_array().unwrap().iter().find(|found| found["key_id"] == key_id).unwrap().clone();
    assert_eq!(found["name"], "reports");
    assert!(!listed.to_string().contains(key), "a list shows no key");

    json(&house.run(&["key", "revoke", "acme", key_id, "--json"]));
    assert_eq!(house.run(&["key", "revoke", "acme", key_id]).status.code(), Some(3));
    eventually("the revoked key is refused", || (list(key).status.code() == Some(4)).then_some(()));
    assert_eq!(house.run(&["key", "list", "nobody"]).status.code(), Some(3));
}

/// What was done above, by whom.
fn audit(house: &House) {
    let shown = json(&house.run(&["audit", "--tenant", "initech", "--json"]));
    let entries = shown["entries"].as_array().unwrap();
    let actions: Vec<&str> = entries.iter().rev().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions[..3], ["tenant.create", "tenant.suspend", "tenant.resume"]);
    for action in ["endpoint.create", "api_key.create", "api_key.revoke", "tenant.delete"] {
        let all = json(&house.run(&["audit", "--json"])).to_string();
        assert!(all.contains(action), "{action}: {all}");
    }
    assert!(entries.iter().all(|entry| entry["actor"].as_str().unwrap().starts_with("login:")), "{shown}");
    let table = house.run(&["audit", "--limit", "1"]);
    assert!(text(&table.stdout).contains("login:"), "{}", text(&table.stdout));
}
