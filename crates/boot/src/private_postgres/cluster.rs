//! The data of a server: made once, then found again.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::place::Place;
use super::programs::Programs;
use super::{Kind, PrivatePostgresError};

/// Superuser and database alike.
const NAME: &str = "trunkline";

/// How long a server may take that is on its way out.
const ENDING_PATIENCE: Duration = Duration::from_secs(3);

/// How much of the server's log an error shows.
const LOG_LINES: usize = 15;

/// A folder made by initdb, with the password and port that go with it.
#[derive(Debug)]
pub(super) struct Cluster {
    place: Place,
    password: String,
}

impl Cluster {
    /// Opens the data in the place, making them if there are none.
    pub(super) fn open(place: &Place, programs: &Programs, kind: Kind) -> Result<Self, PrivatePostgresError> {
        let place = place.clone();
        let password_file = place.folder().join("password");
        // The password is written last, so that a start that was cut short begins again.
        if let Ok(password) = fs::read_to_string(&password_file) {
            let cluster = Self { place, password };
            cluster.refuse_other_version(programs)?;
            cluster.refuse_if_in_use()?;
            return Ok(cluster);
        }
        let password = hex(&crate::random::random_bytes::<16>());
        let cluster = Self { place, password };
        cluster.make(programs, kind)?;
        cluster.place.write(&password_file, &cluster.password)?;
        Ok(cluster)
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn folder(&self) -> &Path {
        self.place.folder()
    }

    pub(super) fn data(&self) -> PathBuf {
        self.place.folder().join("postgres")
    }

    pub(super) fn log_file(&self) -> PathBuf {
        self.place.folder().join("postgres.log")
    }

    pub(super) fn url(&self, port: u16) -> String {
        format!("postgres://{NAME}:{}@127.0.0.1:{port}/{NAME}", self.password)
    }

    /// The port of the last start: while it is free, the address stays the same.
    pub(super) fn remembered_port(&self) -> Option<u16> {
        fs::read_to_string(self.port_file()).ok()?.trim().parse().ok()
    }

    pub(super) fn remember_port(&self, port: u16) -> Result<(), PrivatePostgresError> {
        self.place.write(&self.port_file(), &port.to_string())
    }

    /// Whether the server says that it is ready: the last line of its pid file (PostgreSQL's `pidfile.h`).
    pub(super) fn accepts_connections(&self) -> bool {
        let text = fs::read_to_string(self.pid_file()).unwrap_or_default();
        text.lines().nth(7).is_some_and(|status| status.trim() == "ready")
    }

    pub(super) fn log_tail(&self) -> String {
        let log = fs::read(self.log_file()).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    fn port_file(&self) -> PathBuf {
        self.place.folder().join("port")
    }

    fn pid_file(&self) -> PathBuf {
        self.data().join("postmaster.pid")
    }

    fn refuse_other_version(&self, programs: &Programs) -> Result<(), PrivatePostgresError> {
        let data = fs::read_to_string(self.data().join("PG_VERSION")).unwrap_or_default().trim().to_owned();
        if data.is_empty() || programs.version().split('.').next() == Some(data.as_str()) {
            return Ok(());
        }
        let programs = programs.version().to_owned();
        Err(PrivatePostgresError::OtherVersion { folder: self.data(), data, programs })
    }

    /// A pid file whose process is gone is left from a crash; the server clears it away by itself. One that is left over
    /// is not "ready" for us either, so it goes now.
    fn refuse_if_in_use(&self) -> Result<(), PrivatePostgresError> {
        let Ok(text) = fs::read_to_string(self.pid_file()) else {
            return Ok(());
        };
        let pid: Option<i32> = text.lines().next().and_then(|line| line.trim().parse().ok());
        let is_alive = |pid: i32| kill(Pid::from_raw(pid), None).is_ok();
        if let Some(pid) = pid {
            // The server of an owner that was killed a moment ago is just being stopped by its guard.
            let patience = Instant::now();
            while is_alive(pid) && patience.elapsed() < ENDING_PATIENCE {
                std::thread::sleep(Duration::from_millis(50));
            }
            if is_alive(pid) {
                return Err(PrivatePostgresError::InUse { folder: self.data(), pid });
            }
        }
        match fs::remove_file(self.pid_file()) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                Err(PrivatePostgresError::io("removing a pid file left from a crash", source))
            }
            _ => Ok(()),
        }
    }

    fn make(&self, programs: &Programs, kind: Kind) -> Result<(), PrivatePostgresError> {
        let data = self.data();
        if data.exists() {
            fs::remove_dir_all(&data)
                .map_err(|source| PrivatePostgresError::io("removing unfinished data", source))?;
        }
        let password_file = self.place.folder().join("initial-password");
        self.place.write(&password_file, &self.password)?;
        let mut initdb = self.place.command(&programs.initdb());
        initdb.arg("--pgdata").arg(&data).arg("--pwfile").arg(&password_file);
        initdb.args(["--username", NAME, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]);
        if kind == Kind::Ephemeral {
            initdb.arg("--no-sync");
        }
        let output = initdb.stdin(Stdio::null()).output();
        let _ = fs::remove_file(&password_file);
        let output = output.map_err(|source| PrivatePostgresError::io("running initdb", source))?;
        if !output.status.success() {
            return Err(PrivatePostgresError::InitDb(
                String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            ));
        }
        self.create_database(programs)
    }

    /// In single-user mode, which needs no client and no running server.
    fn create_database(&self, programs: &Programs) -> Result<(), PrivatePostgresError> {
        let mut postgres = self.place.command(&programs.postgres());
        postgres.arg("--single").arg("-D").arg(self.data()).args(["-F", "postgres"]);
        postgres.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let failed = |source| PrivatePostgresError::io("creating the database", source);
        let mut child = postgres.spawn().map_err(failed)?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(format!("CREATE DATABASE {NAME};\n").as_bytes()).map_err(failed)?;
        }
        let output = child.wait_with_output().map_err(failed)?;
        if output.status.success() {
            return Ok(());
        }
        Err(PrivatePostgresError::InitDb(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
