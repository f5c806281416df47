use crate::house::House;
use crate::process::{eventually, json, text};

#[test]
fn tenants_steer_deliveries_through_the_binary() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(&folder.path().join("data"), &["--ephemeral"]);
    let sent = house.send(r#"{"type":"steered","order":1}"#);
    let event_id = sent["event_id"].as_str().unwrap();
    house.await_status(event_id, "test-tenant", "DELIVERED");
    explained(&house, event_id);
    replayed(&house, event_id);
    settled(&house, event_id);
    house.stop_by("TERM");
}

fn explained(house: &House, event_id: &str) {
    let explained = json(&house.run(&["events", "explain", event_id, "--json"]));
    let endpoint = &explained["endpoints"][0];
    assert_eq!((&endpoint["name"], &endpoint["matches"]), (&"default".into(), &true.into()));
    let human = text(&house.run(&["events", "explain", event_id]).stdout);
    assert!(human.contains("default") && human.contains("yes") && human.contains("DELIVERED"), "{human}");
    let endpoint_id = house.tenant("test-tenant")["endpoint_id"].as_str().unwrap();
    let retried = house.run(&["events", "retry", event_id, "--endpoint", endpoint_id]);
    assert_eq!(retried.status.code(), Some(1), "only FAILED deliveries are: {}", text(&retried.stderr));
    assert!(text(&retried.stderr).contains("DELIVERED"), "{}", text(&retried.stderr));
}

fn replayed(house: &House, event_id: &str) {
    let dry = json(&house.run(&["replay", "start", "--type", "steered", "--dry-run", "--json"]));
    assert_eq!((&dry["counted"], &dry["complete"]), (&1.into(), &true.into()));
    let started =
        json(&house.run(&["replay", "start", "--type", "steered", "--status", "delivered", "--json"]));
    let replay_id = started["replay_id"].as_str().unwrap();
    let done = eventually("the replay is done", || {
        let shown = json(&house.run(&["replay", "show", replay_id, "--json"]));
        (shown["state"] == "done").then_some(shown)
    });
    assert_eq!(done["replayed"], 1);
    eventually("it is delivered again", || {
        let shown = json(&house.run(&["events", "show", event_id, "--json"]));
        (shown["event"]["attempts"] == 2 && shown["event"]["status"] == "DELIVERED").then_some(())
    });
    let listed = text(&house.run(&["replay", "list"]).stdout);
    assert!(listed.contains(replay_id) && listed.contains("done"), "{listed}");
    // Steered while it runs: `every_operation_has_a_command_that_does_it`.
    for action in ["pause", "resume", "cancel"] {
        assert_eq!(house.run(&["replay", action, replay_id]).status.code(), Some(1), "it is over");
    }
    let unknown = "rpl_0190163d8694739b8a3c0123456789ab";
    assert_eq!(house.run(&["replay", "show", unknown]).status.code(), Some(3));
    assert_eq!(house.run(&["replay", "show", "rpl_1"]).status.code(), Some(2));
}

fn settled(house: &House, event_id: &str) {
    let listed = json(&house.run(&["dead-letters", "list", "--type", "steered", "--json"]));
    assert_eq!((&listed["dead_letters"], &listed["has_more"]), (&serde_json::json!([]), &false.into()));
    let requeued = json(&house.run(&["dead-letters", "requeue", "--json"]));
    assert_eq!(requeued, serde_json::json!({"requeued": 0}));
    let purged = house.run(&["dead-letters", "purge", "--after", "2026-01-01T00:00:00Z", event_id]);
    assert_eq!(text(&purged.stdout), "0 purged\n", "{}", text(&purged.stderr));
    assert_eq!(house.run(&["dead-letters", "list", "--after", "yesterday"]).status.code(), Some(1));
}
