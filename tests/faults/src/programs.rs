//! The executables under test, built from the tree this program was built from.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use tokio::process::Command;

/// The packages whose programs run here.
const PACKAGES: [&str; 4] = ["trunkline-api", "trunkline-worker", "trunkline-receiver", "trunkline-cli"];

/// The folder of the executables, and that of the release before, where it was built.
#[derive(Clone)]
pub(crate) struct Programs {
    folder: PathBuf,
    previous: Option<PathBuf>,
}

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

    /// With the release before this one: a folder that has its programs, or a revision of the repository, which is built.
    pub(crate) async fn beside(self, release: &str) -> anyhow::Result<Self> {
        let folder = Path::new(release);
        let previous = if folder.join("trunkline-api").exists() {
            folder.to_owned()
        } else {
            Self::build_revision(release).await?.folder
        };
        Ok(Self { previous: Some(previous), ..self })
    }

    async fn build_revision(revision: &str) -> anyhow::Result<Self> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let folder = workspace.join("target/previous");
        let (source, archive) = (folder.join("source"), folder.join("source.tar"));
        if source.exists() {
            std::fs::remove_dir_all(&source)?;
        }
        std::fs::create_dir_all(&source)?;
        run(Command::new("git")
            .args(["archive", "--output"])
            .arg(&archive)
            .arg(revision)
            .current_dir(&workspace))
        .await?;
        run(Command::new("tar").arg("--extract").arg("--file").arg(&archive).current_dir(&source)).await?;
        Self::build_copy(&source, &folder.join("target")).await
    }

    /// The release before, if there is another one than this.
    pub(crate) fn previous(&self) -> Option<Self> {
        self.previous.clone().map(|folder| Self { folder, previous: None })
    }

    /// `target` is where cargo puts everything.
    async fn build_in(workspace: &Path, target: &Path, environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--locked", "--quiet", "--target-dir"]).arg(target);
        // As this program was built: a debug build of everything is soon there, and tells nothing about time.
        let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
        if profile == "release" {
            cargo.arg("--release");
        }
        for package in PACKAGES {
            cargo.args(["--package", package]);
        }
        let cargo = cargo.envs(environment.iter().copied());
        let status = cargo.current_dir(workspace).status().await.context("running cargo")?;
        ensure!(status.success(), "the programs under test do not build");
        Ok(Self { folder: target.join(profile), previous: None })
    }

    /// Where a program lies, such as `trunkline-api`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

async fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().await?;
    ensure!(status.success(), "{:?} failed", command.as_std());
    Ok(())
}
