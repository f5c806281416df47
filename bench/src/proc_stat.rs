//! What the kernel says about a process: CPU time and memory.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};

/// CPU seconds that a process has used, user and system, its threads' included; 0 for one that is gone.
pub(crate) fn cpu_seconds(process: u32) -> f64 {
    let own = [FIELD_UTIME, FIELD_STIME];
    seconds(&stat_fields(process), &own)
}

/// The CPU seconds of a process, of its children, and of the children it had: a PostgreSQL server's, whose backends come
/// and go.
pub(crate) fn cpu_seconds_of_family(parent: u32) -> f64 {
    let all = [FIELD_UTIME, FIELD_STIME, FIELD_CUTIME, FIELD_CSTIME];
    let living: f64 = children(parent).into_iter().map(cpu_seconds).sum();
    living + seconds(&stat_fields(parent), &all)
}

/// Resident memory now and at its highest, in MiB.
pub(crate) fn memory_mib(process: u32) -> (f64, f64) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kilobytes = |name: &str| -> f64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or_default()
    };
    (kilobytes("VmRSS:") / 1_024.0, kilobytes("VmHWM:") / 1_024.0)
}

/// Positions in `/proc/PID/stat` after the name, which is in parentheses and may hold spaces (proc_pid_stat(5) counts
/// from 1 and the name is 2).
const FIELD_PARENT: usize = 4 - 3;
const FIELD_UTIME: usize = 14 - 3;
const FIELD_STIME: usize = 15 - 3;
const FIELD_CUTIME: usize = 16 - 3;
const FIELD_CSTIME: usize = 17 - 3;

fn stat_fields(process: u32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after_name = text.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    after_name.split_whitespace().map(str::to_owned).collect()
}

fn seconds(fields: &[String], wanted: &[usize]) -> f64 {
    let ticks: f64 = wanted.iter().filter_map(|field| fields.get(*field)?.parse::<f64>().ok()).sum();
    ticks / ticks_per_second()
}

fn ticks_per_second() -> f64 {
    sysconf(SysconfVar::CLK_TCK).ok().flatten().map_or(100.0, |ticks| ticks as f64)
}

fn children(parent: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let processes = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |process: &u32| {
        stat_fields(*process).get(FIELD_PARENT).and_then(|field| field.parse().ok()) == Some(parent)
    };
    processes.filter(is_child).collect()
}
