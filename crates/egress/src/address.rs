//! Which addresses are the public Internet, by the registries of special-purpose addresses (IANA; RFC 6890 and those it
//! names), and what clouds put elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// An address that deliveries may not reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} is {what}, which deliveries may not reach; what they may is up to the operator: egress.allow, egress.deny"
)]
pub struct AddressRefused {
    /// The address as it was given.
    pub address: IpAddr,
    /// What kind of address it is.
    pub what: &'static str,
}

/// Whether an address is public, or named by `allow`; and whatever it is, not named by `deny`.
pub(crate) fn check(address: IpAddr, allow: &[IpNet], deny: &[IpNet]) -> Result<(), AddressRefused> {
    let mut carried = carried_ipv4(address);
    let is_in =
        |networks: &[IpNet], address: IpAddr| networks.iter().any(|network| network.contains(&address));
    if is_in(deny, address) || carried.clone().any(|carried| is_in(deny, carried.into())) {
        return Err(AddressRefused { address, what: "in a network that its operator denies" });
    }
    // An entry for an IPv4 network also means its addresses mapped into IPv6, which reach the same host.
    let mapped = match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map(IpAddr::V4),
        IpAddr::V4(_) => None,
    };
    if is_in(allow, address) || mapped.is_some_and(|mapped| is_in(allow, mapped)) {
        return Ok(());
    }
    let what = match address {
        IpAddr::V4(v4) => special_ipv4(v4),
        IpAddr::V6(v6) => special_ipv6(v6).or_else(|| carried.find_map(special_ipv4)),
    };
    what.map_or(Ok(()), |what| Err(AddressRefused { address, what }))
}

/// First matching row decides.
const IPV4: &[(Ipv4Addr, u8, &str)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this host"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "a private address"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "a carrier's shared address"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "a loopback address"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "a cloud's metadata service"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "a link-local address"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "a private address"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "a protocol's own address"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "a documentation address"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "an anycast service's address"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "an anycast service's address"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a 6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "a private address"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "an anycast service's address"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "a benchmarking address"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "a documentation address"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "a documentation address"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "a multicast address"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "a reserved address"),
];

fn special_ipv4(address: Ipv4Addr) -> Option<&'static str> {
    let bits = u32::from(address);
    IPV4.iter()
        .find(|(network, length, _)| (bits ^ u32::from(*network)) >> (32 - length) == 0)
        .map(|row| row.2)
}

/// Only 2000::/3 is given out as public; within it, these are not.
const IPV6: &[(Ipv6Addr, u8, &str)] = &[
    (Ipv6Addr::new(0x2001, 0x0db8, 0, 0, 0, 0, 0, 0), 32, "a documentation address"),
    // All of it, with Teredo, ORCHID and benchmarking: none of these is a host to deliver to.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "a protocol's own address"),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48, "an anycast service's address"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "a documentation address"),
];

fn special_ipv6(address: Ipv6Addr) -> Option<&'static str> {
    let bits = u128::from(address);
    if let Some(row) =
        IPV6.iter().find(|(network, length, _)| (bits ^ u128::from(*network)) >> (128 - length) == 0)
    {
        return Some(row.2);
    }
    if bits >> 125 == 0b001 || carries_ipv4(address) {
        return None;
    }
    Some(match address.segments()[0] {
        0 if address.is_loopback() => "a loopback address",
        first if first >> 9 == 0x7e => "a private address",
        first if first >> 6 == 0x3fa => "a link-local address",
        first if first >> 8 == 0xff => "a multicast address",
        _ => "a reserved address",
    })
}

/// Outside 2000::/3, the forms that stand for an IPv4 host and are judged by it.
fn carries_ipv4(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let is_mapped = address.to_ipv4_mapped().is_some();
    let is_nat64 = segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
    is_mapped || is_nat64
}

/// The IPv4 addresses inside an IPv6 one, in every form that something on the way may unpack: one form may carry another.
fn carried_ipv4(address: IpAddr) -> impl Iterator<Item = Ipv4Addr> + Clone {
    let IpAddr::V6(address) = address else { return [None, None].into_iter().flatten() };
    let segments = address.segments();
    let joined = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    let is_6to4 = segments[0] == 0x2002;
    // ISATAP (RFC 5214): the interface part of any prefix, that of 6to4 too.
    let is_isatap = segments[5] == 0x5efe && segments[4] & 0xfcff == 0;
    let in_prefix = is_6to4.then(|| joined(segments[1], segments[2]));
    let at_end = (carries_ipv4(address) || is_isatap).then(|| joined(segments[6], segments[7]));
    [in_prefix, at_end].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &str) -> Option<&'static str> {
        check(text.parse().unwrap(), &[], &[]).err().map(|refused| refused.what)
    }

    #[test]
    fn public_addresses_pass() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "168.63.129.15",
            "2606:4700::1111",
            "2a00:1450::1",
            "2600::",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:0808:0808::1",
        ] {
            assert_eq!(refused(public), None, "{public}");
        }
    }

    #[test]
    fn everything_else_does_not() {
        for special in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::2",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:7f00:0001::",
            "2002:0a00:0001::1",
            "2002:a9fe:a9fe::",
            "3fff::1",
            "4000::1",
            "fc00::1",
            "fd00::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "2620:4f:8000::1",
            "2606:4700::5efe:10.0.0.1",
            "2606:4700::200:5efe:192.168.0.1",
            "2002:0808:0808::5efe:10.0.0.1",
        ] {
            assert!(refused(special).is_some(), "{special}");
        }
    }

    #[test]
    fn what_an_operator_allows_passes() {
        let allow: Vec<IpNet> = ["10.1.0.0/16", "fd00::/8"].map(|network| network.parse().unwrap()).to_vec();
        for (address, passes) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("10.2.0.1", false),
            ("fd00::1", true),
            ("fc00::1", false),
            ("64:ff9b::10.1.2.3", false),
        ] {
            assert_eq!(check(address.parse().unwrap(), &allow, &[]).is_ok(), passes, "{address}");
        }
    }

    #[test]
    fn what_an_operator_denies_is_refused_in_every_spelling() {
        let networks =
            |texts: &[&str]| -> Vec<IpNet> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        let deny = networks(&["8.8.8.0/24", "2606:4700:1::/96"]);
        for (address, passes) in [
            ("8.8.8.8", false),
            ("8.8.4.4", true),
            ("::ffff:8.8.8.8", false),
            ("64:ff9b::8.8.8.8", false),
            ("2002:0808:0808::1", false),
            // A network's own NAT64 prefix, which nobody else can know.
            ("2606:4700:1::10.0.0.1", false),
            ("2606:4700:2::1", true),
        ] {
            assert_eq!(check(address.parse().unwrap(), &[], &deny).is_ok(), passes, "{address}");
        }
        let allow = networks(&["8.8.0.0/16"]);
        assert!(check("8.8.8.8".parse().unwrap(), &allow, &deny).is_err(), "deny is the stronger of the two");
    }

    proptest! {
        #[test]
        fn no_spelling_of_a_special_ipv4_address_passes(row in 0..IPV4.len(), host: u32, prefix in 0x2400u16..0x2fff) {
            let (network, length, _) = IPV4[row];
            let bits = u32::from(network) | (host >> (length - 1) >> 1);
            let [high, low] = [(bits >> 16) as u16, bits as u16];
            for segments in [
                [0, 0, 0, 0, 0, 0xffff, high, low],
                [0, 0, 0, 0, 0, 0, high, low],
                [0, 0, 0, 0, 0xffff, 0, high, low],
                [0x64, 0xff9b, 0, 0, 0, 0, high, low],
                [0x64, 0xff9b, 1, 0, 0, 0, high, low],
                [0x2002, high, low, 1, 2, 3, 4, 5],
                [0x2001, 0, 0, 0, 0, 0, !high, !low],
                [prefix, 1, 2, 3, 0, 0x5efe, high, low],
                [prefix, 1, 2, 3, 0x200, 0x5efe, high, low],
                [0x2002, 0x0808, 0x0808, 3, 0, 0x5efe, high, low],
                [0x2002, 0x0808, 0x0808, 3, 0x200, 0x5efe, high, low],
            ] {
                let address = IpAddr::from(segments);
                prop_assert!(check(address, &[], &[]).is_err(), "{address}");
            }
        }
    }
}
