use super::super::reader::Reader;
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::{Host, Url};

/// `egress.*`
#[derive(Debug, Clone, Default)]
pub struct EgressSettings {
    /// Networks that deliveries may reach although they are private.
    pub allow: Vec<IpNet>,
    /// Networks that deliveries may not reach although they are public, or allowed: one's own, a NAT64 prefix.
    pub deny: Vec<IpNet>,
    /// The proxy that all deliveries go through; `None`: they go straight to their endpoints.
    pub proxy: Option<EgressProxy>,
    /// Whether names are left to the proxy, which then has to guard what they resolve to.
    pub proxy_resolves: bool,
}

/// An HTTP proxy that makes tunnels (CONNECT), spoken to without TLS.
#[derive(Debug, Clone)]
pub struct EgressProxy {
    /// A name, or an address without brackets.
    pub host: String,
    /// Where it listens.
    pub port: u16,
    /// `user:password`, as it goes into basic authentication (RFC 7617).
    pub credentials: Option<SecretString>,
}

impl EgressSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let networks = |reader: &mut Reader, key| {
            let accepts = "accepts networks such as 10.1.0.0/16 or fd00::/8";
            reader.list(key, Vec::new(), accepts, |entry| entry.parse().map_err(|_| "is none"))
        };
        let settings = Self {
            allow: networks(reader, "egress.allow"),
            deny: networks(reader, "egress.deny"),
            proxy: reader.scalar(
                "egress.proxy",
                None,
                "accepts http://user:password@host:port, user and password percent-encoded, or nothing",
                |text| if text.is_empty() { Some(None) } else { EgressProxy::parse(text).map(Some) },
            ),
            proxy_resolves: reader.choice(
                "egress.proxy_resolves",
                false,
                &[("false", false), ("true", true)],
            ),
        };
        if settings.proxy_resolves && settings.proxy.is_none() {
            reader.refuse(
                "egress.proxy_resolves",
                "needs egress.proxy, to which it leaves the names".to_owned(),
            );
        }
        settings
    }
}

impl EgressProxy {
    fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok().filter(|url| url.scheme() == "http" && url.path() == "/")?;
        if url.query().is_some() || url.fragment().is_some() {
            return None;
        }
        let decoded = |part| percent_decode_str(part).decode_utf8().ok();
        let (user, password) = (decoded(url.username())?, decoded(url.password().unwrap_or_default())?);
        // A colon in the name would be read as the end of it, and control characters are forbidden (RFC 7617, section 2).
        if user.contains(':') || user.chars().chain(password.chars()).any(char::is_control) {
            return None;
        }
        let has_credentials = !user.is_empty() || !password.is_empty();
        Some(Self {
            host: match url.host()? {
                Host::Domain(name) => name.to_owned(),
                Host::Ipv4(address) => address.to_string(),
                Host::Ipv6(address) => address.to_string(),
            },
            port: url.port_or_known_default()?,
            credentials: has_credentials.then(|| SecretString::from(format!("{user}:{password}"))),
        })
    }
}
