//! A panic's message may hold a payload or a secret: it is logged without.

use std::process::Command;

use trunkline_boot::settings::LogSettings;
use trunkline_boot::telemetry;

const CANARY: &str = "panic-canary-6c1e";

#[test]
#[ignore = "run by the test below, in a process of its own"]
fn panic_as_a_door_would() {
    telemetry::init(&LogSettings { filter: "trace".to_owned(), ..LogSettings::default() });
    panic!("{CANARY}");
}

#[test]
fn a_panic_is_logged_with_its_place_and_without_its_message() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["panic_as_a_door_would", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("panicked") && said.contains("panics.rs"), "{said}");
    assert!(!said.contains(CANARY), "{said}");
}
