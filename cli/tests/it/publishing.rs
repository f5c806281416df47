use serde_json::Value;

use crate::house::House;
use crate::process::{feed, json, text};

#[test]
fn tenants_publish_and_read_through_the_binary() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(&folder.path().join("data"), &["--ephemeral"]);
    one_event(&house);
    one_event_a_line(&house);
    exported(&house);
    described_and_counted(&house);
    what_is_refused(&house);
    house.stop_by("TERM");
}

fn one_event(house: &House) {
    let sent = house.send(r#"{"type":"order.paid","order":1001}"#);
    let event_id = sent["event_id"].as_str().unwrap();
    let shown = house.await_status(event_id, "test-tenant", "DELIVERED");
    assert_eq!(shown["event"]["payload"]["order"], 1001);
    assert_eq!(shown["attempts"].as_array().unwrap().len(), 1);
    let human = text(&house.run(&["events", "show", event_id]).stdout);
    assert!(human.contains("DELIVERED") && human.contains("order.paid"), "{human}");

    // Shown as it was sent, which no JSON parser would manage.
    let exact = house.send(r#"{"z":1e400,"a":1.00}"#);
    let shown = text(&house.run(&["events", "show", exact["event_id"].as_str().unwrap()]).stdout);
    assert!(shown.contains("{\n  \"z\": 1e400,\n  \"a\": 1.00\n}"), "{shown}");

    // The same key makes the same event.
    let twice = || {
        let mut command =
            house.command(&["send", "--json", "--idempotency-key", "once", "--type", "order.sent"]);
        json(&feed(&mut command, r#"{"order":1}"#))["event_id"].clone()
    };
    assert_eq!(twice(), twice());
    let sent = json(&house.run(&["events", "list", "--type", "order.sent", "--json"]));
    assert_eq!(sent["events"].as_array().unwrap().len(), 1);
}

fn one_event_a_line(house: &House) {
    let lines: String =
        (0..250).map(|number| format!("{{\"type\":\"many\",\"number\":{number}}}\n\n")).collect();
    let output = feed(&mut house.command(&["send", "--ndjson", "--json", "--tenant", "acme", "-"]), &lines);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(printed.len(), 251);
    assert_eq!(printed[250]["accepted"], 250);
    // More than a page.
    let listed = json(
        &house.run(&["events", "list", "--type", "many", "--tenant", "acme", "--limit", "1000", "--json"]),
    );
    assert_eq!(listed["events"].as_array().unwrap().len(), 250);
    assert_eq!(listed["has_more"], false);

    let bad = "{\"good\":1}\n[\"no object\"]\n{\"good\":2}\n";
    let output = feed(&mut house.command(&["send", "--ndjson", "--tenant", "globex"]), bad);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("line 2: ") && stderr.contains("accepted 2, refused 1"), "{stderr}");
}

fn exported(house: &House) {
    let output = house.run(&["events", "export", "--type", "many", "--tenant", "acme"]);
    let exported = text(&output.stdout);
    let numbers: std::collections::BTreeSet<u64> = exported
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["payload"]["number"].as_u64().unwrap())
        .collect();
    assert_eq!((exported.lines().count(), numbers.len()), (250, 250));
    let one = house.run(&["events", "export", "--payload", "number:7", "--tenant", "acme"]);
    assert_eq!(text(&one.stdout).lines().count(), 1);
    assert_eq!(house.run(&["events", "export", "--payload", "x"]).status.code(), Some(1));
    assert_eq!(house.run(&["events", "export", "--api-key", "tl_nonsense"]).status.code(), Some(4));
}

fn described_and_counted(house: &House) {
    let described = json(&feed(
        &mut house.command(&[
            "event-type",
            "describe",
            "order.paid",
            "--description",
            "Money came.",
            "--schema",
            "-",
            "--enforced",
            "--json",
        ]),
        r#"{"type":"object"}"#,
    ));
    assert_eq!(described["event_type"]["enforced"], true, "{described}");
    assert!(text(&house.run(&["event-type", "list"]).stdout).contains("order.paid"));
    assert!(text(&house.run(&["event-type", "show", "order.paid"]).stdout).contains("Money came."));
    json(&house.run(&["event-type", "delete", "order.paid", "--json"]));
    assert_eq!(house.run(&["event-type", "show", "order.paid"]).status.code(), Some(3));

    let stats = json(&house.run(&["stats", "--json", "--tenant", "acme", "--bucket", "1h"]));
    assert!(stats["total"]["events"].as_i64().unwrap() >= 250, "{stats}");
    assert!(text(&house.run(&["stats"]).stdout).contains("TOTAL"));
    assert_eq!(house.run(&["stats", "--bucket", "2h"]).status.code(), Some(1));
}

fn what_is_refused(house: &House) {
    let unknown = "evt_0190163d8694739b8a3c0123456789ab";
    assert_eq!(house.run(&["events", "show", unknown]).status.code(), Some(3));
    assert_eq!(house.run(&["events", "retry", unknown]).status.code(), Some(3));
    assert_eq!(house.run(&["events", "show", "evt_1"]).status.code(), Some(2));
    let delivered = house.send(r#"{"a":1}"#)["event_id"].as_str().unwrap().to_owned();
    house.await_status(&delivered, "test-tenant", "DELIVERED");
    let retried = house.run(&["events", "retry", &delivered]);
    assert_eq!(retried.status.code(), Some(1), "only FAILED events are retried: {}", text(&retried.stderr));
    let forged = house.run(&["events", "list", "--api-key", "tl_nonsense"]);
    assert_eq!(forged.status.code(), Some(4), "{}", text(&forged.stderr));
    let nobody = feed(&mut house.command(&["send", "--ndjson", "--api-key", "tl_nonsense"]), "{}\n{}\n");
    assert_eq!(nobody.status.code(), Some(4), "{}", text(&nobody.stderr));
    assert_eq!(house.run(&["send", "/no/such/file"]).status.code(), Some(2));
}
