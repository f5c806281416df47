use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Instant;

use crate::house::House;
use crate::http::get;
use crate::process::{Running, feed, json, run, signal, text, trunkline, wait};

#[test]
fn interrupt_and_hangup_stop_everything_within_seconds() {
    for name in ["INT", "HUP"] {
        let folder = tempfile::tempdir().unwrap();
        let house = House::start(&folder.path().join("data"), &["--ephemeral"]);
        let api_url = house.get("api_url").to_owned();
        let asked = Instant::now();
        house.stop_by(name);
        assert!(asked.elapsed().as_secs() < 8, "{name}: {:?}", asked.elapsed());
        let probe = run(&["probe", &api_url]);
        assert_eq!(probe.status.code(), Some(69), "{}", text(&probe.stderr));
    }
}

#[test]
fn a_stop_during_the_start_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let child =
        trunkline(&["dev", "--api-port", "0", "--receiver-port", "0", "--admin-port", "0", "--data-dir"])
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    let mut child = Running(child);
    let mut stderr = BufReader::new(child.0.stderr.take().unwrap());
    let mut first = String::new();
    stderr.read_line(&mut first).unwrap();
    assert!(first.contains("starting a private one"), "{first}");
    signal(child.0.id(), "TERM");
    wait(&mut child.0);
    assert!(!data.join("dev.json").exists());
    // PostgreSQL is gone too: the folder is free at once.
    let house = House::start(&data, &[]);
    assert_eq!(get(&format!("{}/readyz", house.get("admin_url")), None).0, 200);
    house.stop_by("TERM");
}

#[test]
fn an_endpoint_that_hangs_does_not_hold_up_a_stop() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(&folder.path().join("data"), &[]);
    let made = json(&house.run(&["tenant", "create", "silent", "--target-url", &url, "--json"]));
    let mut send = house.command(&["send", "--json", "--api-key", made["api_key"].as_str().unwrap()]);
    json(&feed(&mut send, "{}"));
    // The attempt is under way once it has connected.
    let _connection = silent.accept().unwrap();
    let asked = Instant::now();
    house.stop_by("TERM");
    assert!(asked.elapsed().as_secs() < 8, "{:?}", asked.elapsed());
}
