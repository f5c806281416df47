//! The three ports, looked at before anything slow begins.

use std::net::{Ipv4Addr, SocketAddr};

use trunkline_boot::listen::listen;

use crate::commands::dev::Options;
use crate::failure::Failure;

/// Refuses ports that are taken, by others or by each other, naming the option that would change it. A port that is taken
/// a moment later is refused by the door itself.
///
/// # Errors
/// [`Failure::Usage`] for one port given twice; the system's error for a port that is taken.
pub(super) fn check(options: &Options) -> anyhow::Result<()> {
    let wanted = [
        ("--api-port", options.api_port),
        ("--receiver-port", options.receiver_port),
        ("--admin-port", options.admin_port),
    ];
    // Held until all are looked at, so that one given twice is taken.
    let mut held = Vec::new();
    for (index, (option, port)) in wanted.into_iter().enumerate() {
        if let Some((other, _)) = wanted[..index].iter().find(|(_, taken)| port != 0 && *taken == port) {
            let reason =
                format!("{other} and {option} are both {port}; choose different ports, 0 takes a free one");
            return Err(Failure::Usage(reason).into());
        }
        held.push(listen(loopback(port), option)?);
    }
    Ok(())
}

/// A port on this machine alone.
pub(super) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Where a door is reached.
pub(super) fn url(port: Option<u16>) -> String {
    format!("http://{}", loopback(port.unwrap_or_default()))
}
