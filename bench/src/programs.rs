//! The programs under measure, built from this tree in the release profile.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::report::progress;

/// The cargo that built this program; `cargo run` tells it to the compiler.
const CARGO: &str = env!("CARGO");
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Where the programs are.
pub(crate) struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Builds them, unless they are to be taken as they are.
    pub(crate) fn prepare(build: bool) -> anyhow::Result<Self> {
        let folder = std::env::current_exe()?.parent().context("a program lies in a folder")?.to_owned();
        let programs = Self { folder };
        if build {
            progress("building trunkline, trunkline-api and trunkline-worker (release)");
            programs.cargo(&["--bin", "trunkline", "--bin", "trunkline-api", "--bin", "trunkline-worker"])?;
            if Path::new(WORKSPACE).join("worker/examples").exists() {
                programs.cargo(&["--package", "trunkline-worker", "--example", "client_ceiling"])?;
            }
        }
        Ok(programs)
    }

    pub(crate) fn trunkline(&self) -> PathBuf {
        self.folder.join("trunkline")
    }

    pub(crate) fn api(&self) -> PathBuf {
        self.folder.join("trunkline-api")
    }

    pub(crate) fn worker(&self) -> PathBuf {
        self.folder.join("trunkline-worker")
    }

    /// The worker's own HTTP client without a database.
    pub(crate) fn client_ceiling(&self) -> PathBuf {
        self.folder.join("examples/client_ceiling")
    }

    fn cargo(&self, what: &[&str]) -> anyhow::Result<()> {
        // Beside this program, wherever it was built to.
        let target = self.folder.parent().unwrap_or_else(|| Path::new("target"));
        let mut command = Command::new(CARGO);
        command.args(["build", "--release", "--locked"]).args(what).arg("--target-dir").arg(target);
        let status = command.current_dir(WORKSPACE).status().context("running cargo")?;
        ensure!(status.success(), "cargo build {} failed", what.join(" "));
        Ok(())
    }
}
