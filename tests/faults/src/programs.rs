//! The executables under test, built from the tree this program was built from.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use tokio::process::Command;

/// The packages whose programs run here.
const PACKAGES: [&str; 4] = ["trunkline-api", "trunkline-worker", "trunkline-receiver", "trunkline-cli"];

/// The folder of the executables.
#[derive(Clone)]
pub(crate) struct Programs(PathBuf);

impl Programs {
    /// Builds them in the folder of the workspace that this program belongs to.
    pub(crate) async fn build() -> anyhow::Result<Self> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let target = std::env::current_exe()?
            .ancestors()
            .nth(2)
            .context("this program lies in no target folder")?
            .to_owned();
        Self::build_in(&workspace, &target, &[]).await
    }

    /// Builds a copy of the source soon rather than well: what counts is what it does, not how fast.
    pub(crate) async fn build_copy(workspace: &Path, target: &Path) -> anyhow::Result<Self> {
        let soon = [
            ("CARGO_PROFILE_RELEASE_LTO", "off"),
            ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
            ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
        ];
        Self::build_in(workspace, target, &soon).await
    }

    /// `target` is where cargo puts everything.
    async fn build_in(workspace: &Path, target: &Path, environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "--locked", "--quiet", "--target-dir"]).arg(target);
        for package in PACKAGES {
            cargo.args(["--package", package]);
        }
        let cargo = cargo.envs(environment.iter().copied());
        let status = cargo.current_dir(workspace).status().await.context("running cargo")?;
        ensure!(status.success(), "the programs under test do not build");
        Ok(Self(target.join("release")))
    }

    /// Where a program lies, such as `trunkline-api`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}
