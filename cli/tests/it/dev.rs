use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::house::House;
use crate::http::{get, post};
use crate::process::{eventually, json, signal};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A pasted curl line, sent without curl: its URL, `-H` headers and `-d` body.
fn send_curl_line(line: &str) -> (u16, String) {
    let mut words = shell_words(line).into_iter();
    let (mut url, mut headers, mut body) = (None, Vec::new(), String::new());
    assert_eq!(words.next().as_deref(), Some("curl"));
    while let Some(word) = words.next() {
        match word.as_str() {
            "-sS" => {}
            "-w" => assert_eq!(words.next().as_deref(), Some("\\n")),
            "-X" => assert_eq!(words.next().as_deref(), Some("POST")),
            "-H" => {
                let header = words.next().unwrap();
                let (name, value) = header.split_once(": ").unwrap();
                headers.push((name.to_owned(), value.to_owned()));
            }
            "-d" => body = words.next().unwrap(),
            _ => url = Some(word),
        }
    }
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    post(&url.unwrap(), &headers, &body)
}

/// Words as a shell sees them, with single quotes and nothing else special.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[test]
fn the_printed_curl_line_delivers_an_event_that_the_receiver_verified() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let house = House::start(&data, &["--ephemeral"]);
    let line = house
        .banner
        .iter()
        .find(|line| line.trim().starts_with("curl") && line.contains("/v1/events "))
        .unwrap();
    let (status, body) = send_curl_line(line.trim());
    assert_eq!(status, 201, "{body}");
    let event: Value = serde_json::from_str(&body).unwrap();
    let event_id = event["event_id"].as_str().unwrap();
    house.await_status(event_id, "test-tenant", "DELIVERED");
    let received = format!("{}/test-tenant/received", house.get("receiver_url"));
    let (status, body) = get(&received, Some(house.key("test-tenant")));
    assert_eq!(status, 200, "{body}");
    assert!(body.contains(event_id), "{body}");

    let stderr = house.stop_by("TERM");
    let postgres = stderr.lines().find_map(|line| line.split_once("data in ")).unwrap().1;
    assert!(!Path::new(postgres).exists(), "{postgres} is left");
    assert!(!data.join("dev.json").exists());
}

#[test]
fn dev_json_has_the_promised_form_and_is_closed_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let house = House::start(&data, &["--ephemeral"]);
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join("dev.json")), 0o600);
    // Whatever repository the folder lies in.
    assert_eq!(fs::read_to_string(data.join(".gitignore")).unwrap(), "*\n");
    for url in ["api_url", "receiver_url", "admin_url"] {
        assert!(house.get(url).starts_with("http://127.0.0.1:"), "{url}");
    }
    assert!(house.get("database_url").starts_with("postgres://"));
    assert!(house.get("operator_key").len() >= 16);
    let tenants = house.file["tenants"].as_array().unwrap();
    let names: Vec<&str> = tenants.iter().map(|tenant| tenant["tenant_id"].as_str().unwrap()).collect();
    assert_eq!(names, ["test-tenant", "acme", "globex"]);
    for tenant in tenants {
        assert!(tenant["api_key"].as_str().unwrap().starts_with("tl_"));
        assert!(tenant["webhook_secret"].as_str().unwrap().starts_with("whsec_"));
        assert!(tenant["endpoint_id"].as_str().unwrap().starts_with("ep_"));
        assert_eq!(tenant.as_object().unwrap().len(), 4);
    }
    assert_eq!(house.file.as_object().unwrap().len(), 6);
    house.stop_by("TERM");
}

#[test]
fn a_second_run_finds_its_data_keys_and_secrets_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let first = House::start(&data, &[]);
    let sent = first.send(r#"{"type":"order.paid"}"#);
    let event_id = sent["event_id"].as_str().unwrap().to_owned();
    first.await_status(&event_id, "test-tenant", "DELIVERED");
    let pid = fs::read_to_string(data.join("postgres/postmaster.pid")).unwrap();
    let pid: u32 = pid.lines().next().unwrap().parse().unwrap();
    let before = first.file.clone();
    first.stop_by("TERM");
    assert!(!signal(pid, "0"), "PostgreSQL still runs");

    let second = House::start(&data, &[]);
    assert_eq!(second.file["tenants"], before["tenants"]);
    assert_eq!(second.file["operator_key"], before["operator_key"]);
    second.await_status(&event_id, "test-tenant", "DELIVERED");
    // The receiver listens on another port now, and its endpoints follow.
    let moved = second.send(r#"{"type":"order.paid"}"#);
    second.await_status(moved["event_id"].as_str().unwrap(), "test-tenant", "DELIVERED");
    second.stop_by("TERM");
}

#[test]
fn two_side_by_side_do_not_meet() {
    let folder = tempfile::tempdir().unwrap();
    let one = House::start(&folder.path().join("one"), &["--ephemeral"]);
    let other = House::start(&folder.path().join("other"), &["--ephemeral"]);
    assert_ne!(one.get("api_url"), other.get("api_url"));
    assert_ne!(one.get("database_url"), other.get("database_url"));
    let (status, _) = get(&format!("{}/v1/events", other.get("api_url")), Some(one.key("acme")));
    assert_eq!(status, 401);
    one.stop_by("TERM");
    let (status, _) = get(&format!("{}/readyz", other.get("admin_url")), None);
    assert_eq!(status, 200);
    other.stop_by("TERM");
}

#[test]
fn the_demonstration() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(&folder.path().join("data"), &["--ephemeral"]);
    let receiver = house.get("receiver_url");
    assert_eq!(post(&format!("{receiver}/acme/disable"), &[], "").0, 200);
    let api = house.get("api_url");
    let authorization = format!("Bearer {}", house.key("acme"));
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let (status, body) = post(&format!("{api}/v1/events"), &headers, r#"{"type":"order.paid"}"#);
    assert_eq!(status, 201, "{body}");
    let event: Value = serde_json::from_str(&body).unwrap();
    let event_id = event["event_id"].as_str().unwrap();
    let failed = house.await_status(event_id, "acme", "FAILED");
    assert_eq!(failed["event"]["attempts"], 1);

    assert_eq!(post(&format!("{receiver}/acme/enable"), &[], "").0, 200);
    let retried = json(&house.run(&["events", "retry", event_id, "--tenant", "acme", "--json"]));
    assert_eq!(retried["status"], "PENDING");
    let delivered = house.await_status(event_id, "acme", "DELIVERED");
    assert_eq!(delivered["event"]["attempts"], 2);
    assert_eq!(delivered["attempts"].as_array().unwrap().len(), 2);
    house.stop_by("TERM");
}

#[test]
fn an_endpoint_may_take_as_long_as_anywhere_although_a_stop_is_short() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(&folder.path().join("data"), &["--ephemeral"]);
    let authorization = format!("Bearer {}", house.key("acme"));
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let slow = r#"{"name":"slow","url":"http://127.0.0.1:9999/","timeout_ms":15000}"#;
    let (status, body) = post(&format!("{}/v1/endpoints", house.get("api_url")), &headers, slow);
    assert_eq!(status, 201, "{body}");
}

#[test]
fn it_can_live_on_a_database_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let host = House::start(&folder.path().join("host"), &["--ephemeral"]);
    let url = host.get("database_url").to_owned();
    let guest = House::start(&folder.path().join("guest"), &["--database-url", &url]);
    // It does not know the keys that were issued there, and issues its own; the others stay good.
    assert_ne!(guest.key("globex"), host.key("globex"));
    for key in [guest.key("globex"), host.key("globex")] {
        assert_eq!(get(&format!("{}/v1/events", guest.get("api_url")), Some(key)).0, 200);
    }
    guest.stop_by("TERM");
    eventually("the host is untouched", || {
        (get(&format!("{}/readyz", host.get("admin_url")), None).0 == 200).then_some(())
    });
    host.stop_by("TERM");
}
