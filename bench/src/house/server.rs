//! A private PostgreSQL with the settings that a DBA would give a machine like this. Every commit waits for the disk.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use trunkline_boot::private_postgres::{Kind, Options, PrivatePostgres};
use url::Url;

use crate::proc_stat;
use crate::report::progress;

/// Besides PostgreSQL's defaults. Those the server may have been built without come last.
const SETTINGS: [(&str, &str); 10] = [
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("synchronous_commit", "on"),
    ("shared_buffers", "1GB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "15min"),
    ("max_connections", "200"),
    ("wal_compression", "lz4"),
    ("shared_preload_libraries", "pg_stat_statements"),
    // Over many partitions a statement can cost more to plan than to run.
    ("pg_stat_statements.track_planning", "on"),
];
const OPTIONAL: usize = 3;

/// The settings, for the record.
pub(crate) fn settings() -> Vec<(String, String)> {
    SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

/// A running server; it ends with this.
pub(crate) struct Server {
    postgres: PrivatePostgres,
    has_statements: bool,
}

impl Server {
    /// Starts one on fresh data.
    pub(crate) fn start(folder: PathBuf) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let start = |settings: Vec<(String, String)>| {
            let data_dir = Some(folder.clone());
            let options = Options { data_dir, kind: Kind::Persistent, programs: None, settings };
            runtime.block_on(PrivatePostgres::start(options))
        };
        let all = settings();
        match start(all.clone()) {
            Ok(postgres) => Ok(Self { postgres, has_statements: true }),
            Err(_) => {
                progress("this server lacks lz4 or pg_stat_statements: going on without both");
                let postgres = start(all[..SETTINGS.len() - OPTIONAL].to_vec())?;
                Ok(Self { postgres, has_statements: false })
            }
        }
    }

    pub(crate) fn url(&self) -> &str {
        self.postgres.url()
    }

    /// Whether `pg_stat_statements` is loaded.
    pub(crate) fn has_statements(&self) -> bool {
        self.has_statements
    }

    /// A program of PostgreSQL's that connects to it. The password goes by the environment, which others cannot read.
    pub(crate) fn client(&self, program: &str) -> anyhow::Result<Command> {
        let url = Url::parse(self.url())?;
        let mut command = Command::new(program);
        command
            .env("PGHOST", url.host_str().unwrap_or_default())
            .env("PGPORT", url.port().unwrap_or_default().to_string())
            .env("PGUSER", url.username())
            .env("PGPASSWORD", url.password().unwrap_or_default())
            .env("PGDATABASE", url.path().trim_start_matches('/'));
        Ok(command)
    }

    /// Runs statements through psql; rows as lines, columns separated by `|`.
    pub(crate) fn psql(&self, statements: &str) -> anyhow::Result<String> {
        let mut command = self.client("psql")?;
        command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", statements]);
        let output = command.stdin(Stdio::null()).output().context("running psql")?;
        if !output.status.success() {
            bail!("psql: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// One number.
    pub(crate) fn number(&self, statement: &str) -> anyhow::Result<f64> {
        let text = self.psql(statement)?;
        text.parse().with_context(|| format!("{statement} answered {text:?}"))
    }

    /// CPU seconds of the server and all its backends, those that ended included.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        Ok(proc_stat::cpu_seconds_of_family(self.postmaster()?))
    }

    /// Bytes of WAL ever written.
    pub(crate) fn wal_bytes(&self) -> anyhow::Result<f64> {
        self.number("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')")
    }

    fn postmaster(&self) -> anyhow::Result<u32> {
        let file = self.postgres.folder().join("postgres/postmaster.pid");
        let text = std::fs::read_to_string(&file).context("reading the server's pid file")?;
        let process = text.lines().next().unwrap_or_default().parse()?;
        ensure!(process > 1, "the server's pid file names no process");
        Ok(process)
    }

    /// Stops it.
    pub(crate) fn stop(self) {
        self.postgres.stop();
    }
}
