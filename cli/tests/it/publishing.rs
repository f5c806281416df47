use serde_json::Value;

use crate::house::House;
use crate::process::{feed, json, text};

#[test]
fn tenants_publish_and_read_through_the_binary() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(&folder.path().join("data"), &["--ephemeral"]);
    one_event(&house);
    one_event_a_line(&house);
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
