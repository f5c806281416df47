//! Api and worker processes: the release programs, with default settings where nothing is said.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::process::Process;
use crate::run::Run;

/// A program that takes longer to answer than this does not work.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// May use operator routes of this run's api.
pub(crate) const OPERATOR_KEY: &str = "bench-operator-key-0123456789";

/// Seals the secrets of this run; the data go when it is over. 32 bytes in base64.
const SECRETS_KEY: &str = "bench:YmVuY2gtYmVuY2gtYmVuY2gtYmVuY2gtYmVuY2gtYmU=";

/// A process that serves.
pub(crate) struct Door {
    pub(crate) process: Process,
    /// Where it listens for tenants; a worker's is never used.
    pub(crate) address: SocketAddr,
    /// From its start to the first 200 of `/readyz`.
    pub(crate) ready_after: Duration,
}

impl Door {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(run: &Run, program: &Path, database_url: &str) -> anyhow::Result<Self> {
        let (address, admin) = (free_address()?, free_address()?);
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let log = std::fs::File::create(run.folder.join(format!("{name}-{}.log", address.port())))?;
        let mut command = Command::new(program);
        let settings = [("API__BIND", address.to_string()), ("ADMIN__BIND", admin.to_string())];
        configure(&mut command, database_url);
        command.envs(settings.map(|(key, value)| (format!("TRUNKLINE__{key}"), value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let started = Instant::now();
        let mut process = Process::start(&name, &mut command, &run.guard)?;
        let url = format!("http://{admin}/readyz");
        while ureq::get(&url).call().is_err() {
            if process.has_ended() || started.elapsed() > START_PATIENCE {
                bail!("{name} did not start; its log is in {}", run.folder.display());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(Self { process, address, ready_after: started.elapsed() })
    }
}

/// Gives a program of ours its settings, and nothing of the shell's: what a person has set there must not change a figure.
pub(crate) fn configure(command: &mut Command, database_url: &str) {
    command.env_clear().envs([
        ("DATABASE_URL", database_url),
        ("TRUNKLINE__OPERATOR__KEYS", OPERATOR_KEY),
        ("TRUNKLINE__SECRETS__KEYS", SECRETS_KEY),
        ("TRUNKLINE__EGRESS__ALLOW", "127.0.0.0/8"),
        ("TRUNKLINE__INGEST__RATE_PER_TENANT", "0"),
        ("TRUNKLINE__INGEST__BURST_PER_TENANT", "0"),
        // The past of `scale` is older than payloads are kept for by default, and no part of it may be dropped meanwhile.
        ("TRUNKLINE__RETENTION__PAYLOADS", "90days"),
    ]);
}

fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("finding a free port")?;
    Ok(listener.local_addr()?)
}
