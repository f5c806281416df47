use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::house::House;
use crate::process::{Running, eventually, feed, json, lines, signal, trunkline, wait};

#[test]
fn listen_prints_what_is_delivered_and_answers_as_told() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(&folder.path().join("data"), &[]);
    let listener = trunkline(&["listen", "--port", "0", "--status", "503", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut listener = Running(listener);
    let printed = lines(listener.0.stdout.take().unwrap());
    let said = lines(listener.0.stderr.take().unwrap());
    let patience = Duration::from_secs(20);
    let first = said.recv_timeout(patience).unwrap();
    let url = first.split_whitespace().find(|word| word.starts_with("http://")).unwrap();

    let made = json(&house.run(&["tenant", "create", "listener", "--target-url", url, "--json"]));
    let key = made["api_key"].as_str().unwrap();
    let mut send = house.command(&["send", "--json", "--type", "order.paid", "--api-key", key]);
    let sent = json(&feed(&mut send, r#"{"order":1001}"#));

    let delivery: Value = serde_json::from_str(&printed.recv_timeout(patience).unwrap()).unwrap();
    assert_eq!(delivery["event_id"], sent["event_id"]);
    assert_eq!(delivery["type"], "order.paid");
    assert_eq!(delivery["attempt"], 1);
    assert_eq!(delivery["body"]["order"], 1001);
    for name in ["webhook-signature", "stripe-signature", "webhook-timestamp"] {
        assert!(delivery["headers"][name].is_string(), "{delivery}");
    }
    let event_id = sent["event_id"].as_str().unwrap();
    eventually("the 503 is recorded", || {
        let shown = json(&house.run(&["events", "show", event_id, "--api-key", key, "--json"]));
        (shown["event"]["status"] == "FAILED").then_some(())
    });
    signal(listener.0.id(), "TERM");
    assert!(wait(&mut listener.0).success());
    house.stop_by("TERM");
}
