//! Doors as processes of their own on a private PostgreSQL, as an operator runs them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tokio::runtime::Runtime;
use trunkline_boot::private_postgres::{Kind, Options, PrivatePostgres};
use trunkline_store::{Connection, Purpose, pool};

use crate::process::{Running, eventually, json, signal, text, trunkline, wait};

/// A server with the schema, and the settings that every program gets. Its doors end with the test.
pub(crate) struct Installation {
    connection: Connection,
    runtime: Runtime,
    postgres: PrivatePostgres,
    /// For logs, and whatever a test keeps.
    pub(crate) folder: tempfile::TempDir,
    settings: BTreeMap<String, String>,
}

/// A running `trunkline api`, `worker` or `receiver`.
pub(crate) struct Door {
    process: Running,
    log: PathBuf,
    /// Where it listens; a worker does not.
    pub(crate) url: String,
    /// Where its health and metrics are.
    pub(crate) admin_url: String,
}

impl Installation {
    /// Starts the server with these settings of its own, and applies the migrations.
    pub(crate) fn open(postgres: &[(&str, &str)], settings: &[(&str, &str)]) -> Self {
        let installation = Self::bare(postgres, settings);
        json(&installation.run(&["migrate", "--json"]));
        installation
    }

    /// The same without any migration.
    pub(crate) fn bare(postgres: &[(&str, &str)], settings: &[(&str, &str)]) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let options = Options {
            kind: Kind::Ephemeral,
            settings: postgres.iter().map(owned).collect(),
            ..Options::default()
        };
        let postgres = runtime.block_on(PrivatePostgres::start(options)).unwrap();
        let connection = runtime.block_on(pool::connect(postgres.url(), Purpose::Maintenance)).unwrap();
        let mut settings: BTreeMap<String, String> = settings.iter().map(owned).collect();
        settings.insert("TRUNKLINE__DATABASE__URL".to_owned(), postgres.url().to_owned());
        settings.insert("TRUNKLINE__EGRESS__ALLOW".to_owned(), "127.0.0.0/8".to_owned());
        let folder = tempfile::tempdir().unwrap();
        Self { connection, runtime, postgres, folder, settings }
    }

    /// The database's address, with user and password.
    pub(crate) fn database_url(&self) -> &str {
        self.postgres.url()
    }

    /// What the server wrote down.
    pub(crate) fn server_log(&self) -> String {
        text(&fs::read(self.postgres.folder().join("postgres.log")).unwrap())
    }

    /// The programs started from now on get this setting.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.settings.insert(name.to_owned(), value.to_owned());
    }

    /// `trunkline` with the settings.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = trunkline(arguments);
        command.envs(&self.settings).current_dir(self.folder.path());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs any SQL; the first column of the first row as text.
    pub(crate) fn sql(&mut self, sql: &str) -> String {
        self.runtime.block_on(trunkline_testkit::text(&mut self.connection, sql))
    }

    /// Runs any SQL.
    pub(crate) fn execute(&mut self, sql: &str) {
        self.runtime.block_on(trunkline_testkit::run(&mut self.connection, sql));
    }

    /// Runs any SQL as somebody else, or in another database.
    pub(crate) fn sql_at(&self, url: &str, sql: &str) -> String {
        self.runtime.block_on(async {
            let mut connection = pool::connect(url, Purpose::Request).await.unwrap();
            trunkline_testkit::text(&mut connection, sql).await
        })
    }

    /// Starts a door and waits until it is ready.
    pub(crate) fn start(&self, role: &str) -> Door {
        let (port, admin_port) = (free_port(), free_port());
        let log = self.folder.path().join(format!("{role}-{port}.log"));
        let admin_url = format!("http://127.0.0.1:{admin_port}");
        let process = self
            .command(&[role])
            .env("TRUNKLINE__ADMIN__BIND", format!("127.0.0.1:{admin_port}"))
            .env("TRUNKLINE__API__BIND", format!("127.0.0.1:{port}"))
            .env("TRUNKLINE__RECEIVER__BIND", format!("127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let door =
            Door { process: Running(process), log, url: format!("http://127.0.0.1:{port}"), admin_url };
        let readiness = format!("{}/readyz", door.admin_url);
        eventually(&format!("{role} is ready"), || {
            let ready = trunkline(&["probe", &readiness]).output().unwrap().status.success();
            ready.then_some(()).or_else(|| {
                // It will not become ready once it has ended.
                let alive = Path::new(&format!("/proc/{}", door.process.0.id())).exists();
                assert!(alive, "{role} ended: {}", door.log());
                None
            })
        });
        door
    }
}

impl Door {
    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        text(&fs::read(&self.log).unwrap())
    }

    /// Stops it in order; answers its whole log.
    pub(crate) fn stop(mut self) -> String {
        assert!(signal(self.process.0.id(), "TERM"));
        let status = wait(&mut self.process.0);
        assert!(status.success(), "{status}: {}", self.log());
        self.log()
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
