use serde_json::Value;

use crate::house::House;
use crate::process::{feed, json, patiently, text};

#[test]
fn any_route_is_called_whatever_it_answers() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(&folder.path().join("data"), &["--ephemeral"]);
    let publish = || {
        let header = ["-H", "Idempotency-Key: order-1", "-H", "Trunkline-Event-Type: called"];
        let body = r#"{"n":1e400}"#;
        let arguments = [&["call", "post", "/v1/events", body, "--json"], &header[..]].concat();
        json(&patiently(|| house.run(&arguments)))
    };
    let event_id = publish()["event_id"].clone();
    assert_eq!(publish()["event_id"], event_id, "the header was sent");
    let batch = r#"{"events":[{"type":"called","payload":{"n":2}}]}"#;
    json(&patiently(|| {
        feed(&mut house.command(&["call", "post", "/v1/events/batch", "-", "--json"]), batch)
    }));

    // One JSON document is indented for a person, and no number in it changes.
    let path = format!("/v1/events/{}", event_id.as_str().unwrap());
    let shown = text(&house.run(&["call", "GET", &path]).stdout);
    assert!(shown.contains("\"payload\": {\n      \"n\": 1e400\n    }"), "{shown}");
    // A document a line, or a page, stays as it is.
    for options in [
        &["call", "get", "/v1/events/export?type=called"][..],
        &["call", "get", "/v1/events/export?type=called", "--json"],
    ] {
        let lines = text(&house.run(options).stdout);
        let types: Vec<Value> = lines
            .lines()
            .map(|line| {
                serde_json::from_str::<Value>(line.replace("1e400", "1").as_str()).unwrap()["type"].clone()
            })
            .collect();
        assert_eq!(types, ["called", "called"], "{lines}");
    }
    for page in ["/v1/docs", "/v1/redoc"] {
        let output = house.run(&["call", "get", page]);
        assert!(
            output.status.success() && text(&output.stdout).contains("</html>"),
            "{}",
            text(&output.stderr)
        );
    }
    // What has no body prints nothing.
    json(&house.run(&["call", "put", "/v1/event-types/called", r#"{"description":"by call"}"#, "--json"]));
    let deleted = house.run(&["call", "delete", "/v1/event-types/called"]);
    assert!(deleted.status.success() && deleted.stdout.is_empty(), "{}", text(&deleted.stderr));

    for (arguments, code, says) in [
        (&["call", "get", "/v1/events/evt_0190163d8694739b8a3c0123456789ab"][..], 3, "event_not_found"),
        (&["call", "get", "/v1/tenants"], 4, "operator_only"),
        (&["call", "get", "/v1/events?colour=red"], 1, "invalid_query"),
        (&["call", "get", "v1/events"], 2, "is not a path"),
        (&["call", "get", "/v1/events", "-H", "no colon"], 2, "NAME: VALUE"),
    ] {
        let refused = house.run(arguments);
        assert_eq!(refused.status.code(), Some(code), "{}", text(&refused.stderr));
        assert!(text(&refused.stderr).contains(says), "{}", text(&refused.stderr));
    }
    house.stop_by("TERM");
}
