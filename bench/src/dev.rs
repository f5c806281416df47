//! The system under measure: a `trunkline dev` that runs already, or one of our own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use tokio::process::{Child, Command};

/// How long a start may take: PostgreSQL's first start writes a whole cluster.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Ports of our own, so that a running `trunkline dev` is left alone.
const PORTS: [(&str, &str); 3] =
    [("--api-port", "18080"), ("--receiver-port", "18081"), ("--admin-port", "18082")];

/// A running Trunkline.
pub(crate) struct Dev {
    pub(crate) facts: Facts,
    child: Option<(Child, PathBuf)>,
}

/// What `dev.json` tells.
#[derive(Deserialize)]
pub(crate) struct Facts {
    pub(crate) api_url: String,
    pub(crate) tenants: Vec<Tenant>,
}

/// A tenant with its key and secret.
#[derive(Deserialize)]
pub(crate) struct Tenant {
    pub(crate) api_key: String,
    pub(crate) webhook_secret: String,
}

impl Dev {
    /// Takes one that runs.
    pub(crate) fn running(file: &Path) -> anyhow::Result<Self> {
        Ok(Self { facts: read(file)?, child: None })
    }

    /// Starts the `trunkline` that was built beside this program.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let program = std::env::current_exe()?.with_file_name("trunkline");
        if !program.exists() {
            bail!("{} is missing; build it: cargo build --release --bin trunkline", program.display());
        }
        let folder = std::env::temp_dir().join(format!("trunkline-bench-{}", std::process::id()));
        let mut command = Command::new(program);
        command.args(["dev", "--ephemeral", "--data-dir"]).arg(&folder).env_remove("DATABASE_URL");
        for (option, port) in PORTS {
            command.args([option, port]);
        }
        let mut child = command.stdout(Stdio::null()).kill_on_drop(true).spawn()?;
        let file = folder.join("dev.json");
        let started = async {
            loop {
                if let Ok(facts) = read(&file) {
                    return Ok(facts);
                }
                if let Some(status) = child.try_wait()? {
                    bail!("it ended: {status}");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let facts = tokio::time::timeout(START_PATIENCE, started).await.context("it did not come up")??;
        Ok(Self { facts, child: Some((child, folder)) })
    }

    /// Stops what was started here.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        let Some((mut child, folder)) = self.child.take() else {
            return Ok(());
        };
        if let Some(id) = child.id() {
            Command::new("kill").arg(id.to_string()).status().await?;
        }
        child.wait().await?;
        let _ = std::fs::remove_dir_all(folder);
        Ok(())
    }

    pub(crate) fn tenant(&self) -> anyhow::Result<&Tenant> {
        self.facts.tenants.first().context("dev.json names no tenant")
    }
}

fn read(file: &Path) -> anyhow::Result<Facts> {
    let text = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(serde_json::from_slice(&text)?)
}
