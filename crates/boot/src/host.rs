//! Which machine this is, for people who look for a process.

use std::fs;

/// The host's name, which in a pod is the pod's name; `localhost` where the system does not tell.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is where the environment is read for everyone")]
pub fn name() -> String {
    let from_kernel = || fs::read_to_string("/proc/sys/kernel/hostname").ok();
    std::env::var("HOSTNAME")
        .ok()
        .or_else(from_kernel)
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}
