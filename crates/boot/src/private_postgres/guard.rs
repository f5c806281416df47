//! The process between us and the server, which stops it when we are gone.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};

use super::cluster::Cluster;
use super::programs::Programs;
use super::{Kind, Options, PrivatePostgresError};

/// Runs the server as a child. When the pipe on its standard input ends, because we closed it or were killed, it asks for
/// a fast shutdown, after ten seconds for an immediate one, and removes the folder if it was told to. It ignores the
/// terminal's signals: the owner decides.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
remove=$1 log=$2
shift 2
exec 3<&0 </dev/null
"$@" >>"$log" 2>&1 3<&- &
server=$!
(
    trap - TERM
    while read -r _ <&3; do :; done
    kill -INT "$server" 2>/dev/null
    for _ in 1 2 3 4 5 6 7 8 9 10; do sleep 1; kill -0 "$server" 2>/dev/null || exit 0; done
    kill -QUIT "$server" 2>/dev/null
) &
watcher=$!
wait "$server"
kill "$watcher" 2>/dev/null
if [ -n "$remove" ]; then cd / && rm -rf "$remove"; fi
"#;

/// Holds the server. Dropping it stops the server too, without waiting.
#[derive(Debug)]
pub(super) struct Guard {
    child: Child,
    /// Closing it is the signal to stop.
    pipe: Option<ChildStdin>,
}

impl Guard {
    pub(super) fn launch(
        cluster: &Cluster,
        programs: &Programs,
        options: &Options,
        port: u16,
    ) -> Result<Self, PrivatePostgresError> {
        let ephemeral = options.kind == Kind::Ephemeral;
        let mut command = cluster.place().command(Path::new("/bin/sh"));
        command.args(["-c", SCRIPT, "trunkline-postgres-guard"]);
        command.arg(if ephemeral { cluster.folder().as_os_str() } else { "".as_ref() });
        command.arg(cluster.log_file()).arg(programs.postgres()).arg("-D").arg(cluster.data());
        let ours = [
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("port", port.to_string()),
            ("unix_socket_directories", String::new()),
            ("timezone", "UTC".to_owned()),
            ("fsync", if ephemeral { "off" } else { "on" }.to_owned()),
            ("full_page_writes", if ephemeral { "off" } else { "on" }.to_owned()),
        ];
        let theirs = options.settings.iter().map(|(name, value)| (name.as_str(), value.clone()));
        for (name, value) in ours.into_iter().chain(theirs) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        // Nothing of ours stays open in it: a test runner waits until the last holder of its output is gone.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut child =
            command.spawn().map_err(|source| PrivatePostgresError::io("starting PostgreSQL", source))?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe })
    }

    pub(super) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Stops the server and waits until it is gone.
    pub(super) fn stop(mut self) {
        drop(self.pipe.take());
        // It cannot fail on a child of ours that nobody else waits for.
        let _ = self.child.wait();
    }
}
