//! How many descriptors this process may have.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// More than any worker needs: a call is a socket, kept for the next, and a look-up of a name some for a moment.
const WANTED: u64 = 65_536;

/// Asks for what the system grants beyond its soft limit, often 1,024, which is there for programs of the days of select(2).
pub(crate) fn ask_for_more() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let wanted = hard.min(WANTED);
    if soft < wanted
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)
    {
        tracing::debug!(%error, soft, "no more descriptors are granted");
    }
}
