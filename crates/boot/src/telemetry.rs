//! Log lines, and panics without their message.

use crate::settings::{LogFormat, LogSettings};
use std::io::IsTerminal as _;
use std::panic;
use std::sync::Once;
use tracing_subscriber::EnvFilter;

/// The HTTP library logs every request that it cannot parse as an error.
const CLIENTS_FAULTS: &str = "actix_http::h1::dispatcher";

/// Sends log lines to stderr, as text or JSON, and logs panics through [`log_panics`]. When something
/// else in the process receives log lines already, it stays; calling this again changes nothing.
///
/// For programs. A test that calls it hides the messages of its own assertions.
pub fn init(log: &LogSettings) {
    // What a client sends amiss is no error of ours; whoever names the module hears of it.
    let filter = format!("{CLIENTS_FAULTS}=off,{}", log.filter);
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error means that a subscriber is there already, by an earlier call or by an embedding test.
    let _already = match log.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_ansi(false).try_init(),
    };
    log_panics();
}

/// From now on a panic is logged as an error with its place and thread, but not its message, which may
/// hold a payload or a secret.
pub fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
            tracing::error!(panic.place = place, panic.thread = thread, "panicked");
        }));
    });
}
