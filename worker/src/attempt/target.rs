//! An endpoint's URL made ready to be called: checked and taken apart once, not for each delivery.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderValue, Uri};
use rustls::pki_types::ServerName;
use trunkline_egress::{EgressPolicy, TargetUrl, UrlRefused};

/// Where a delivery goes.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(super) origin: Arc<Origin>,
    /// Path and query: what stands in the request line.
    pub(super) path: Uri,
    /// Value of the header `host`.
    pub(super) host: HeaderValue,
}

/// What a connection is made to, and may be used again for.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) host: Host,
    pub(super) port: u16,
    /// Whom the certificate must name; `None` without TLS.
    pub(super) tls_name: Option<ServerName<'static>>,
}

/// A host as the URL names it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum Host {
    Name(String),
    Address(IpAddr),
}

/// Why a URL cannot be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetRefused {
    /// The policy forbids it. It was allowed when it was saved, but rules change.
    #[error(transparent)]
    Url(#[from] UrlRefused),
    /// What is left between the grammar of URLs and that of HTTP.
    #[error("the URL cannot be written into a request")]
    Unwritable,
}

impl Target {
    /// Checks a stored URL by the policy, and takes it apart.
    pub(crate) fn new(url: &str, policy: &EgressPolicy) -> Result<Self, TargetRefused> {
        Self::take_apart(&policy.check_url(url)?).ok_or(TargetRefused::Unwritable)
    }

    fn take_apart(url: &TargetUrl) -> Option<Self> {
        let (host, port) = (url.host_address(), url.port());
        let host = host.map_or_else(|| Host::Name(url.host().to_owned()), Host::Address);
        let tls_name = if url.is_https() {
            Some(match &host {
                // A certificate names a host without the full stop that may end its name.
                Host::Name(name) => ServerName::try_from(name.trim_end_matches('.').to_owned()).ok()?,
                Host::Address(address) => ServerName::from(*address),
            })
        } else {
            None
        };
        Some(Self {
            path: url.path_and_query().try_into().ok()?,
            host: HeaderValue::from_str(url.authority()).ok()?,
            origin: Arc::new(Origin { host, port, tls_name }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_as_a_request_needs_it() {
        for (url, host, path, is_tls, port) in [
            ("https://example.com", "example.com", "/", true, 443),
            ("https://example.com:8443/a?b=c%20d", "example.com:8443", "/a?b=c%20d", true, 8443),
            ("http://1.1.1.1/?x", "1.1.1.1", "/?x", false, 80),
            ("http://[2606:4700::1111]:8080/x", "[2606:4700::1111]:8080", "/x", false, 8080),
            ("https://example.com./", "example.com.", "/", true, 443),
        ] {
            let target = Target::new(url, &EgressPolicy::default()).unwrap();
            assert_eq!(target.host, host, "{url}");
            assert_eq!(target.path, path, "{url}");
            assert_eq!(target.origin.tls_name.is_some(), is_tls, "{url}");
            assert_eq!(target.origin.port, port, "{url}");
        }
    }

    #[test]
    fn an_address_is_recognised_however_it_is_written() {
        for url in ["http://1.1.1.1/", "http://0x01010101/", "http://16843009/"] {
            let target = Target::new(url, &EgressPolicy::default()).unwrap();
            assert_eq!(target.origin.host, Host::Address([1, 1, 1, 1].into()), "{url}");
        }
    }
}
