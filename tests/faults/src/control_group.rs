//! A control group with limits on memory and CPU: version 1 or 2, whichever is mounted.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nix::unistd::Pid;

/// Where control groups are mounted everywhere.
const ROOT: &str = "/sys/fs/cgroup";

/// How long a period of CPU accounting is, in microseconds: the kernel's default.
const PERIOD_US: u64 = 100_000;

/// Removed when it is dropped, by which time its processes must be gone.
pub(crate) struct ControlGroup {
    /// One folder in version 2; one per controller in version 1.
    memory: PathBuf,
    cpu: PathBuf,
    is_unified: bool,
}

impl ControlGroup {
    /// Makes one whose processes together have so much memory, and so much of one core.
    pub(crate) fn create(memory_mib: u64, cpu_percent: u64) -> anyhow::Result<Self> {
        let name = format!("trunkline-faults-{}", std::process::id());
        let root = Path::new(ROOT);
        let is_unified = root.join("cgroup.controllers").exists();
        let (memory, cpu) = if is_unified {
            (root.join(&name), root.join(&name))
        } else {
            (root.join("memory").join(&name), root.join("cpu").join(&name))
        };
        for folder in [&memory, &cpu] {
            std::fs::create_dir_all(folder).context("a control group needs root")?;
        }
        let group = Self { memory, cpu, is_unified };
        let bytes = (memory_mib * 1_024 * 1_024).to_string();
        let limit = if is_unified { "memory.max" } else { "memory.limit_in_bytes" };
        group.write(&group.memory, limit, &bytes)?;
        group.narrow(cpu_percent)?;
        Ok(group)
    }

    /// Puts a process and what it starts under the limits.
    pub(crate) fn take_in(&self, process: Pid) -> anyhow::Result<()> {
        self.write(&self.memory, "cgroup.procs", &process.to_string())?;
        self.write(&self.cpu, "cgroup.procs", &process.to_string())
    }

    /// Lets its processes have so much of one core.
    pub(crate) fn narrow(&self, cpu_percent: u64) -> anyhow::Result<()> {
        let quota = cpu_percent * PERIOD_US / 100;
        if self.is_unified {
            return self.write(&self.cpu, "cpu.max", &format!("{quota} {PERIOD_US}"));
        }
        self.write(&self.cpu, "cpu.cfs_quota_us", &quota.to_string())
    }

    /// Lets its processes have all the CPU again.
    pub(crate) fn widen(&self) -> anyhow::Result<()> {
        if self.is_unified {
            return self.write(&self.cpu, "cpu.max", "max");
        }
        self.write(&self.cpu, "cpu.cfs_quota_us", "-1")
    }

    /// How many periods ended with work left over.
    pub(crate) fn throttled(&self) -> anyhow::Result<u64> {
        let text = std::fs::read_to_string(self.cpu.join("cpu.stat"))?;
        let count = text.lines().find_map(|line| line.strip_prefix("nr_throttled "));
        let Some(count) = count else { bail!("cpu.stat does not tell how often it throttled") };
        Ok(count.parse()?)
    }

    fn write(&self, folder: &Path, file: &str, text: &str) -> anyhow::Result<()> {
        std::fs::write(folder.join(file), text).with_context(|| format!("setting {file}"))
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // Refused while a process of it is there, which the end of this program changes; an empty group is harmless.
        let _ = std::fs::remove_dir(&self.memory);
        let _ = std::fs::remove_dir(&self.cpu);
    }
}
