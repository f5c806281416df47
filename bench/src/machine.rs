//! The machine a run took place on: figures of another one cannot be compared with it.

use std::fs;
use std::process::Command;

use serde::Serialize;
use trunkline_boot::Clock;

use crate::house::server;

/// What stands beside every figure.
#[derive(Serialize, Clone)]
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: f64,
    pub(crate) kernel: String,
    pub(crate) postgresql: String,
    pub(crate) postgresql_settings: Vec<String>,
}

impl Machine {
    pub(crate) fn describe() -> Self {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let cpu = read("/proc/cpuinfo").lines().find_map(|line| {
            let (_, model) = line.strip_prefix("model name")?.split_once(':')?;
            Some(model.trim().to_owned())
        });
        let memory_kb = read("/proc/meminfo")
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<f64>().ok());
        let settings = server::settings();
        Self {
            date: Clock::new().now().format("%Y-%m-%d").to_string(),
            cpu: cpu.unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            memory_gib: (memory_kb.unwrap_or_default() / 1_048_576.0).round(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            postgresql: client_version(),
            postgresql_settings: settings.iter().map(|(name, value)| format!("{name} = {value}")).collect(),
        }
    }
}

/// Of psql, which comes with the server.
fn client_version() -> String {
    let output = Command::new("psql").arg("--version").output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
