//! A panic's message may hold a payload or a secret: it is logged without.

use std::process::Command;

use trunkline_boot::settings::LogSettings;
use trunkline_boot::telemetry;

const CANARY: &str = "panic-canary-6c1e";

/// Tells the test that it is run by itself, and is to panic.
const IS_DOOR: &str = "PANICS_AS_A_DOOR";

/// Whatever a door logs goes through one subscriber of its process, so the panic has a process of its own: this test's program,
/// asked for this test alone.
#[test]
fn a_panic_is_logged_with_its_place_and_without_its_message() {
    #[expect(clippy::disallowed_methods, reason = "no setting: it is how the test knows itself")]
    if std::env::var_os(IS_DOOR).is_some() {
        telemetry::init(&LogSettings { filter: "trace".to_owned(), ..LogSettings::default() });
        panic!("{CANARY}");
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["a_panic_is_logged_with_its_place_and_without_its_message", "--nocapture"])
        .env(IS_DOOR, "1")
        .output()
        .unwrap();
    assert!(!output.status.success(), "it was to panic");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("panicked") && said.contains("panics.rs"), "{said}");
    assert!(!said.contains(CANARY), "{said}");
}
