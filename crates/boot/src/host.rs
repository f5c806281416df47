//! Which machine this is, for people who look for a process, and what it allows.

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

/// How many files and connections this process may have open at one time; `None` where the system does not tell.
#[must_use]
pub fn open_files_max() -> Option<usize> {
    open_files_in(&fs::read_to_string("/proc/self/limits").ok()?)
}

/// The soft limit in what Linux shows (proc(5), `/proc/pid/limits`).
fn open_files_in(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max processes             95980                95980                processes \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(open_files_in(limits), Some(1_024));
        assert_eq!(
            open_files_in("Max open files            unlimited            unlimited            files"),
            None
        );
        assert_eq!(open_files_in(""), None);
    }
}
