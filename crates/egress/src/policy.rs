//! The policy, and which URLs it lets through.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::{Host, Position, Url};

use crate::address::{self, AddressRefused};
use crate::ports;

/// The longest URL of an endpoint, in characters.
pub const URL_LENGTH_MAX: usize = 2_048;

/// What may be called: the public Internet and what the operator allows beyond it, without what it denies.
#[derive(Debug, Clone, Default)]
pub struct EgressPolicy {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
}

/// A URL that passed, in the canonical form of the WHATWG standard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetUrl(Url);

/// Why a URL may not be called. Each message names the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    /// Longer than [`URL_LENGTH_MAX`].
    #[error("a URL has at most {URL_LENGTH_MAX} characters")]
    TooLong,
    /// White space, control characters or backslashes, which parsers read differently.
    #[error("a URL holds no spaces, control characters or backslashes; percent-encode them")]
    Character,
    /// Not a URL.
    #[error("this is not a URL; write one such as https://example.com/webhooks")]
    Syntax,
    /// Neither http nor https.
    #[error("a URL starts with https:// or http://")]
    Scheme,
    /// `user:password@`.
    #[error("a URL holds no user name or password; deliveries are signed instead")]
    Credentials,
    /// `#...`, which is never sent.
    #[error("a URL holds no fragment (#...), since it is never sent")]
    Fragment,
    /// A port below 1024 other than 80 and 443, or one of a known service.
    #[error(
        "port {0} is not open to deliveries; use 80, 443 or one from 1024 on that belongs to no known service"
    )]
    Port(u16),
    /// A name that means this machine or its network.
    #[error(
        "the host is a name of a private network; use a public one, or ask the operator for egress.allow"
    )]
    LocalName,
    /// The address is not public.
    #[error(transparent)]
    Address(#[from] AddressRefused),
}

impl EgressPolicy {
    /// A policy that lets the networks of `allow` through, although they are private, and those of `deny` never.
    pub fn new(allow: Vec<IpNet>, deny: Vec<IpNet>) -> Self {
        Self { allow, deny }
    }

    /// Checks a URL by itself: form, scheme, port, and the address if it is written as one. A name's addresses are
    /// checked when it is called, by [`crate::GuardedResolver`].
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check_url(&self, text: &str) -> Result<TargetUrl, UrlRefused> {
        if text.len() > URL_LENGTH_MAX {
            return Err(UrlRefused::TooLong);
        }
        if text
            .chars()
            .any(|character| character.is_whitespace() || character.is_control() || character == '\\')
        {
            return Err(UrlRefused::Character);
        }
        let url = Url::parse(text).map_err(|_| UrlRefused::Syntax)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlRefused::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlRefused::Credentials);
        }
        if url.fragment().is_some() {
            return Err(UrlRefused::Fragment);
        }
        match url.host() {
            None => return Err(UrlRefused::Syntax),
            Some(Host::Ipv4(address)) => self.check_address(address.into())?,
            Some(Host::Ipv6(address)) => self.check_address(address.into())?,
            Some(Host::Domain(name)) => self.check_name(name)?,
        }
        self.check_port(&url)?;
        if url.as_str().len() > URL_LENGTH_MAX {
            return Err(UrlRefused::TooLong);
        }
        Ok(TargetUrl(url))
    }

    /// Checks the address that is about to be connected to.
    ///
    /// # Errors
    /// When it is not public and not allowed.
    pub fn check_address(&self, address: IpAddr) -> Result<(), AddressRefused> {
        address::check(address, &self.allow, &self.deny)
    }

    fn check_name(&self, name: &str) -> Result<(), UrlRefused> {
        let name = name.trim_end_matches('.');
        let is_local = name == "localhost"
            || [".localhost", ".local", ".internal", ".localdomain", ".home.arpa"]
                .iter()
                .any(|end| name.ends_with(end));
        let is_single_label = !name.contains('.');
        let allows_loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
            .into_iter()
            .any(|loopback| self.check_address(loopback).is_ok());
        // Names without a dot belong to a search domain of the worker's own network.
        if (is_local || is_single_label) && self.allow.is_empty()
            || name.ends_with("localhost") && !allows_loopback
        {
            return Err(UrlRefused::LocalName);
        }
        Ok(())
    }

    fn check_port(&self, url: &Url) -> Result<(), UrlRefused> {
        let port = url.port_or_known_default().unwrap_or(0);
        if ports::is_open(port) { Ok(()) } else { Err(UrlRefused::Port(port)) }
    }
}

impl TargetUrl {
    /// The canonical form: what is stored and called.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it is called over TLS.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The host as it stands in the URL, an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The host if it is an address, in whatever form it was written.
    pub fn host_address(&self) -> Option<IpAddr> {
        match self.0.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            _ => None,
        }
    }

    /// The port that is connected to.
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(0)
    }

    /// Host, and port where it is not the scheme's own: the value of the header `host`.
    pub fn authority(&self) -> &str {
        self.0.authority()
    }

    /// What comes after the authority: what stands in the request line.
    pub fn path_and_query(&self) -> &str {
        // Without a fragment, which the check refuses, nothing follows the query.
        &self.0[Position::BeforePath..]
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn checked(text: &str) -> Result<String, UrlRefused> {
        EgressPolicy::default().check_url(text).map(|url| url.as_str().to_owned())
    }

    #[test]
    fn public_urls_pass_in_canonical_form() {
        for (text, canonical) in [
            ("https://example.com", "https://example.com/"),
            ("HTTPS://EXAMPLE.com:443/A?b=c", "https://example.com/A?b=c"),
            ("http://example.com:8080/x/../y", "http://example.com:8080/y"),
            ("https://b\u{fc}cher.example/", "https://xn--bcher-kva.example/"),
            ("https://1.1.1.1/", "https://1.1.1.1/"),
            ("https://[2606:4700::1111]:8443/", "https://[2606:4700::1111]:8443/"),
            ("https://example.com./", "https://example.com./"),
        ] {
            assert_eq!(checked(text).as_deref(), Ok(canonical), "{text}");
        }
    }

    #[test]
    fn every_other_url_is_refused_by_its_rule() {
        let long = format!("https://example.com/{}", "a".repeat(URL_LENGTH_MAX));
        for (text, refused) in [
            (long.as_str(), UrlRefused::TooLong),
            ("", UrlRefused::Syntax),
            ("example.com", UrlRefused::Syntax),
            ("https://", UrlRefused::Syntax),
            ("https://exa mple.com/", UrlRefused::Character),
            ("https://example.com\\@evil.com/", UrlRefused::Character),
            ("https://example.com/\r\nx: y", UrlRefused::Character),
            ("https://example.com/\u{0}", UrlRefused::Character),
            ("ftp://example.com/", UrlRefused::Scheme),
            ("file:///etc/passwd", UrlRefused::Scheme),
            ("gopher://example.com/", UrlRefused::Scheme),
            ("https://user@example.com/", UrlRefused::Credentials),
            ("https://user:pass@example.com/", UrlRefused::Credentials),
            ("https://example.com/#top", UrlRefused::Fragment),
            ("http://example.com:22/", UrlRefused::Port(22)),
            ("http://example.com:25/", UrlRefused::Port(25)),
            ("http://example.com:5432/", UrlRefused::Port(5432)),
            ("http://example.com:6379/", UrlRefused::Port(6379)),
            ("http://localhost/", UrlRefused::LocalName),
            ("http://a.localhost./", UrlRefused::LocalName),
            ("http://printer.local/", UrlRefused::LocalName),
            ("http://metadata.google.internal/", UrlRefused::LocalName),
            ("http://postgres/", UrlRefused::LocalName),
        ] {
            assert_eq!(checked(text), Err(refused), "{text}");
        }
    }

    #[test]
    fn every_spelling_of_a_private_address_is_refused() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "0",
            "0.0.0.0",
            "127.0.0.1.",
            "\u{ff11}27.0.0.1",
            "10.0.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0xa9fea9fe",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[fd00:ec2::254]",
            "[fe80::1]",
        ] {
            let refused = checked(&format!("http://{host}/"));
            assert!(matches!(refused, Err(UrlRefused::Address(_))), "{host}: {refused:?}");
        }
    }

    #[test]
    fn an_operator_can_allow_a_network() {
        let policy = EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()], Vec::new());
        for text in [
            "http://127.0.0.1:8081/acme/webhook",
            "http://localhost:8081/",
            "http://[::ffff:127.0.0.1]:8081/",
        ] {
            assert!(policy.check_url(text).is_ok(), "{text}");
        }
        assert!(policy.check_url("http://10.0.0.1/").is_err());
        assert_eq!(policy.check_url("http://127.0.0.1:5432/").unwrap_err(), UrlRefused::Port(5432));
    }

    proptest! {
        // The last part stands for all bytes that are left (WHATWG URL, "IPv4 parser").
        #[test]
        fn no_spelling_of_a_private_ipv4_address_passes(
            first in prop_oneof![Just(0_u32), Just(10), Just(127)],
            rest in 0_u32..1 << 24,
            parts in 1_usize..=4,
            radixes: [u8; 4],
            dot in prop_oneof![Just("."), Just("%2e"), Just("\u{3002}"), Just("\u{ff0e}")],
        ) {
            let bits = first << 24 | rest;
            let number = |part: usize| if part + 1 == parts {
                bits << (8 * part) >> (8 * part)
            } else {
                bits >> (24 - 8 * part) & 0xff
            };
            let spelt: Vec<String> = (0..parts).map(|part| match radixes[part] % 3 {
                0 => number(part).to_string(),
                1 => format!("0x{:x}", number(part)),
                _ => format!("0{:o}", number(part)),
            }).collect();
            let host = spelt.join(dot);
            let refused = checked(&format!("http://{host}/"));
            prop_assert!(matches!(refused, Err(UrlRefused::Address(_))), "{host}: {refused:?}");
        }

        #[test]
        fn nothing_panics_and_what_passes_passes_again(text in "(https?://)?[a-z0-9.:@/#\\[\\]%\\\\ -]{0,40}") {
            let policy = EgressPolicy::default();
            if let Ok(url) = policy.check_url(&text) {
                let again = policy.check_url(url.as_str());
                prop_assert_eq!(again.as_ref(), Ok(&url));
            }
        }
    }
}
