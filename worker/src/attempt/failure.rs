//! Why a call brought no answer, in words for the tenant.

use std::error::Error;
use std::io;

use nix::errno::Errno;
use trunkline_domain::AttemptOutcome;

/// The longest reason that is stored.
const REASON_LENGTH_MAX: usize = 500;

/// A call without an answer.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) outcome: AttemptOutcome,
    pub(crate) reason: String,
    /// Trying again cannot help.
    pub(crate) is_final: bool,
}

impl Failure {
    pub(crate) fn new(outcome: AttemptOutcome, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        if let Some((end, _)) = reason.char_indices().nth(REASON_LENGTH_MAX) {
            reason.truncate(end);
        }
        // PostgreSQL's text holds everything but this, and a library's message may quote an endpoint.
        let reason = reason.replace('\0', "\u{fffd}");
        Self { outcome, reason, is_final: false }
    }

    pub(crate) fn internal(reason: &str) -> Self {
        Self::new(AttemptOutcome::InternalError, reason)
    }

    pub(crate) fn give_up(reason: &str) -> Self {
        Self { is_final: true, ..Self::internal(reason) }
    }

    /// What ended a TLS handshake: what one side does not accept of the other, or the endpoint hanging up.
    pub(super) fn handshake(error: &io::Error) -> Self {
        Self::tls(error).unwrap_or_else(|| {
            let reason = format!("no TLS session: the endpoint ended the handshake ({error})");
            Self::new(AttemptOutcome::TlsError, reason)
        })
    }

    /// The answer's head said success, but it never came to its end.
    pub(super) fn unfinished(status: u16, error: &hyper::Error) -> Self {
        let broken = Self::broken(error);
        Self::new(broken.outcome, format!("the endpoint answered {status}, but {}", broken.reason))
    }

    /// What ended a connection in the middle of a call.
    pub(super) fn broken(error: &hyper::Error) -> Self {
        Self::tls(error).unwrap_or_else(|| {
            let what = if error.is_parse() { "the answer is not HTTP/1.1" } else { "the connection broke" };
            Self::new(AttemptOutcome::ConnectionError, format!("{what}: {}", deepest(error)))
        })
    }

    /// The failure if TLS lies underneath an error.
    pub(super) fn tls(error: &(dyn Error + 'static)) -> Option<Self> {
        let tls = std::iter::successors(Some(error), |&error| error.source()).find_map(tls_cause)?;
        Some(Self::new(AttemptOutcome::TlsError, format!("no TLS session: {tls}")))
    }
}

/// Whether an error is of this machine, whoever was to be called: no descriptor, buffer, memory or port was left.
pub(super) fn is_of_this_machine(error: &io::Error) -> bool {
    use Errno::{EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM};
    let number = error.raw_os_error().map(Errno::from_raw);
    matches!(number, Some(EMFILE | ENFILE | ENOBUFS | ENOMEM | EADDRNOTAVAIL))
}

/// What lies at the bottom of an error: each layer above only says that something below failed.
fn deepest<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    std::iter::successors(Some(error), |&error| error.source()).last().unwrap_or(error)
}

/// rustls wraps its errors in `io::Error`, whose `source` skips them.
fn tls_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    wrapped
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .or_else(|| error.downcast_ref::<rustls::Error>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_lacks_is_told_from_what_an_endpoint_does() {
        let of_this_machine =
            |number: Errno| is_of_this_machine(&io::Error::from_raw_os_error(number as i32));
        for ours in [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM, Errno::EADDRNOTAVAIL] {
            assert!(of_this_machine(ours), "{ours}");
        }
        for theirs in [Errno::ECONNREFUSED, Errno::ECONNRESET, Errno::EHOSTUNREACH, Errno::ENETUNREACH] {
            assert!(!of_this_machine(theirs), "{theirs}");
        }
        assert!(!is_of_this_machine(&io::ErrorKind::AddrNotAvailable.into()), "a name without addresses");
    }

    #[test]
    fn a_reason_is_short_and_fits_the_table() {
        let failure = Failure::new(AttemptOutcome::ConnectionError, "é\0".repeat(400));
        assert_eq!(failure.reason.chars().count(), REASON_LENGTH_MAX);
        assert!(!failure.reason.contains('\0'));
    }
}
