//! PgBouncer in transaction mode before a server: a statement goes wherever there is room, so that nothing of a session
//! lasts longer than its transaction.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::ports::free_port;
use super::server::Server;

/// Where Debian puts it, which is not on everyone's PATH.
const PROGRAM: &str = "/usr/sbin/pgbouncer";

/// Ends when it is dropped.
pub(crate) struct PgBouncer {
    pub(crate) port: u16,
    _child: Child,
}

impl PgBouncer {
    /// Starts one, as the user whom the server runs as.
    pub(crate) async fn start(server: &Server) -> anyhow::Result<Self> {
        // Beside the server's folder, in which nothing but its own may lie.
        let folder = server.folder().with_file_name("pgbouncer");
        std::fs::create_dir_all(&folder)?;
        let port = free_port()?;
        let owner = std::fs::metadata(server.data())?;
        for (name, text) in
            [("users.txt", users(server)?), ("pgbouncer.ini", settings(server, &folder, port)?)]
        {
            let file = folder.join(name);
            std::fs::write(&file, text)?;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
            chown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
        chown(&folder, Some(owner.uid()), Some(owner.gid()))?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--clear-groups"]);
        command.args([format!("--reuid={}", owner.uid()), format!("--regid={}", owner.gid())]);
        command.arg("--").arg(PROGRAM).arg("--quiet").arg(folder.join("pgbouncer.ini"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().context("starting pgbouncer")?;
        let since = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            ensure!(
                since.elapsed() < Duration::from_secs(5),
                "pgbouncer does not start: apt-get install pgbouncer"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { port, _child: child })
    }
}

fn users(server: &Server) -> anyhow::Result<String> {
    let (user, password) = credentials(server.url())?;
    Ok(format!("\"{user}\" \"{password}\"\n"))
}

/// As an operator would set it up for clients that say what they want of a session when they connect.
fn settings(server: &Server, folder: &Path, port: u16) -> anyhow::Result<String> {
    let (at, folder) = (server.port()?, folder.display());
    Ok(format!(
        "[databases]\ntrunkline = host=127.0.0.1 port={at} dbname=trunkline\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = plain\nauth_file = {folder}/users.txt\nlogfile = {folder}/pgbouncer.log\n\
         pool_mode = transaction\nmax_client_conn = 500\ndefault_pool_size = 20\n\
         ignore_startup_parameters = options,extra_float_digits\n"
    ))
}

fn credentials(url: &str) -> anyhow::Result<(&str, &str)> {
    let rest = url.split_once("://").map(|(_, rest)| rest);
    let pair = rest.and_then(|rest| rest.split_once('@')).and_then(|(pair, _)| pair.split_once(':'));
    pair.context("the address has no password")
}
