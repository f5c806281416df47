//! Takes a TCP port, or says what to do about it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// Connections that may wait to be taken in; the system bounds it too (`net.core.somaxconn`). With the standard library's 128, clients that
/// come back all at once, as after a restart, lose their first packet and wait a second and more before they try again.
const BACKLOG: i32 = 4_096;

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} ({setting}): {source}; stop what uses that address or set {setting} to another, port 0 takes a free one"
)]
pub struct BindError {
    /// The address that was asked for.
    pub address: SocketAddr,
    /// The setting or option that asked for it.
    pub setting: String,
    /// Why the system refused.
    pub source: io::Error,
}

/// Listens on `address`; `setting` names who chose it (`api.bind`, `--api-port`) should that fail.
///
/// # Errors
/// The address is taken, not ours, or not allowed.
pub fn listen(address: SocketAddr, setting: &str) -> Result<TcpListener, BindError> {
    open(address).map_err(|source| BindError { address, setting: setting.to_owned(), source })
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // As the standard library does: connections of a process that has just ended do not keep the address.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The same for strangers: a connection ends whose client takes nothing of what is sent to it for so long, and sends nothing (each
/// packet from it puts the kernel's next probe off). Nothing else would end it, since no answer has a deadline. The kernel knows best what
/// was taken; accepted connections have this from their listener (Linux; elsewhere there is no such option).
///
/// # Errors
/// As [`listen`].
pub fn for_clients(
    address: SocketAddr,
    setting: &str,
    taken_within: Duration,
) -> Result<TcpListener, BindError> {
    let listener = listen(address, setting)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(&listener)
        .set_tcp_user_timeout(Some(taken_within))
        .map_err(|source| BindError { address, setting: setting.to_owned(), source })?;
    #[cfg(not(target_os = "linux"))]
    let _ = taken_within;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration;

    use super::listen;

    #[test]
    fn a_crowd_connects_before_anybody_is_taken_in() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), "api.bind").unwrap();
        let address = listener.local_addr().unwrap();
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(900)).unwrap();
        let crowd: Vec<_> = (0..256).map(connect).collect();
        assert_eq!(crowd.len(), 256);
    }

    #[test]
    fn a_taken_port_names_address_and_setting() {
        let first = listen("127.0.0.1:0".parse().unwrap(), "api.bind").unwrap();
        let taken = first.local_addr().unwrap();
        let error = listen(taken, "api.bind").unwrap_err().to_string();
        assert!(error.contains(&taken.to_string()) && error.contains("api.bind"), "{error}");
    }
}
