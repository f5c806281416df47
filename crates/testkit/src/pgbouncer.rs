//! PgBouncer in transaction mode before a server: a transaction goes wherever there is room, so that nothing of a session
//! lasts longer than its transaction. Apart from that it is as Debian's package sets it up.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// Where Debian puts it, which is not on everyone's PATH.
const PROGRAM: &str = "/usr/sbin/pgbouncer";

/// It refuses to run as root; `nobody` owns nothing that it could need.
const NOBODY: u32 = 65_534;

/// How long it may take to listen.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// A pooler. It ends when it is dropped.
pub struct PgBouncer {
    url: String,
    _child: Child,
    _folder: Option<TempDir>,
}

impl PgBouncer {
    /// Whether the program is there: a laptop without it runs all other tests.
    pub fn is_installed() -> bool {
        Path::new(PROGRAM).exists()
    }

    /// Starts one before the server of `url` (`postgres://user:password@127.0.0.1:port/database`) for that user, and for every
    /// database. Its own files are in `folder`, and `settings` are beyond ours.
    ///
    /// # Errors
    /// When it is not installed, or does not start; its log is in the folder.
    pub async fn start(url: &str, port: u16, folder: &Path, settings: &[(&str, &str)]) -> io::Result<Self> {
        let address = Address::parse(url).ok_or_else(|| io::Error::other("no address with a password"))?;
        std::fs::create_dir_all(folder)?;
        let is_root = std::fs::metadata("/proc/self")?.uid() == 0;
        let users = format!("\"{}\" \"{}\"\n", address.user, address.password);
        for (name, text) in
            [("users.txt", users), ("pgbouncer.ini", configuration(&address, folder, port, settings))]
        {
            let file = folder.join(name);
            std::fs::write(&file, text)?;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
            if is_root {
                chown(&file, Some(NOBODY), Some(NOBODY))?;
            }
        }
        // Whatever becomes of this program, nothing it started stays behind.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if is_root {
            chown(folder, Some(NOBODY), Some(NOBODY))?;
            command.args(["--clear-groups", &format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}")]);
        }
        command.arg("--").arg(PROGRAM).arg("--quiet").arg(folder.join("pgbouncer.ini"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let child = command.spawn()?;
        let since = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if since.elapsed() > START_PATIENCE {
                return Err(io::Error::other("pgbouncer does not start: apt-get install pgbouncer"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let Address { user, password, database, .. } = address;
        let url = format!("postgres://{user}:{password}@127.0.0.1:{port}/{database}");
        Ok(Self { url, _child: child, _folder: None })
    }

    /// Starts one before the server of a test, on a port and in a folder of its own.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn before(url: &str, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // What lies in it must be within reach of the user whom it runs as.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let started = Self::start(url, port, &folder.path().join("pgbouncer"), settings).await.unwrap();
        Self { _folder: Some(folder), ..started }
    }

    /// The address of the server through it.
    pub fn url(&self) -> &str {
        &self.url
    }
}

struct Address<'a> {
    user: &'a str,
    password: &'a str,
    port: &'a str,
    database: &'a str,
}

impl<'a> Address<'a> {
    fn parse(url: &'a str) -> Option<Self> {
        let (login, place) = url.split_once("://")?.1.rsplit_once('@')?;
        let (user, password) = login.split_once(':')?;
        let (host, database) = place.split_once('/')?;
        Some(Self { user, password, port: host.rsplit_once(':')?.1, database })
    }
}

fn configuration(address: &Address<'_>, folder: &Path, port: u16, settings: &[(&str, &str)]) -> String {
    let (server_port, folder) = (address.port, folder.display());
    let more: String = settings.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
    format!(
        "[databases]\n* = host=127.0.0.1 port={server_port}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = plain\nauth_file = {folder}/users.txt\nlogfile = {folder}/pgbouncer.log\n\
         pool_mode = transaction\nmax_client_conn = 500\n{more}"
    )
}
