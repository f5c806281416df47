use super::*;

fn clients(trusted: &[&str], failures_per_minute: u32) -> Clients {
    Clients::new(&ClientSettings {
        trusted_proxies: trusted.iter().map(|network| network.parse().unwrap()).collect(),
        failed_logins_per_minute: failures_per_minute,
        ..ClientSettings::default()
    })
}

#[test]
fn the_client_is_the_nearest_address_that_is_no_trusted_proxy() {
    let clients = clients(&["10.0.0.0/8", "fd00::/8"], 20);
    for (peer, forwarded_for, expected) in [
        // Whoever is not trusted is not believed.
        ("203.0.113.9:1", &["198.51.100.1"][..], "203.0.113.9"),
        ("10.0.0.1:1", &[], "10.0.0.1"),
        ("10.0.0.1:1", &["198.51.100.1"], "198.51.100.1"),
        // What the client wrote itself stands further to the left.
        ("10.0.0.1:1", &["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1:1", &["1.1.1.1", "198.51.100.1, 10.2.2.2"], "198.51.100.1"),
        ("10.0.0.1:1", &["10.3.3.3,10.2.2.2"], "10.3.3.3"),
        // An entry that is none was written by nobody we trust.
        ("10.0.0.1:1", &["1.1.1.1, unknown, 10.2.2.2"], "10.2.2.2"),
        ("10.0.0.1:1", &["198.51.100.1:4711"], "198.51.100.1"),
        ("[fd00::1]:1", &["[2001:db8:1:2:3:4:5:6]:4711"], "2001:db8:1:2::/64"),
        ("[::ffff:10.0.0.1]:1", &["::ffff:198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1:1", &["[2001:db8::1]"], "2001:db8::/64"),
        ("10.0.0.1:1", &[""], "10.0.0.1"),
    ] {
        let network = clients.network(Some(peer.parse().unwrap()), forwarded_for.iter().copied());
        assert_eq!(network.to_string(), expected, "{peer} {forwarded_for:?}");
    }
}

#[test]
fn twenty_failures_a_minute_are_let_pass_and_one_more_every_three_seconds() {
    let clients = clients(&[], 20);
    let client = Network::of("203.0.113.9".parse().unwrap());
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(clients.must_wait(client, start), None);
        clients.note_failure(client, start);
    }
    assert_eq!(clients.must_wait(client, start), Some(Duration::from_secs(3)));
    assert_eq!(clients.must_wait(Network::of("203.0.113.10".parse().unwrap()), start), None);
    let later = start + Duration::from_secs(3);
    assert_eq!(clients.must_wait(client, later), None);
    clients.note_failure(client, later);
    assert_eq!(clients.must_wait(client, later), Some(Duration::from_secs(3)));
    assert_eq!(clients.must_wait(client, start + Duration::from_secs(120)), None);
}

#[test]
fn an_ipv6_customer_is_one_client_and_no_limit_is_none() {
    let one = clients(&[], 1);
    let now = Instant::now();
    one.note_failure(Network::of("2001:db8::1".parse().unwrap()), now);
    assert!(one.must_wait(Network::of("2001:db8::ffff".parse().unwrap()), now).is_some());
    assert!(one.must_wait(Network::of("2001:db8:0:1::1".parse().unwrap()), now).is_none());
    let unlimited = clients(&[], 0);
    let client = Network::of("203.0.113.9".parse().unwrap());
    (0..1_000).for_each(|_| unlimited.note_failure(client, now));
    assert_eq!(unlimited.must_wait(client, now), None);
}

#[test]
fn a_flood_of_addresses_takes_no_more_memory() {
    let clients = clients(&[], 20);
    let now = Instant::now();
    for number in 0..150_000_u32 {
        clients.note_failure(Network::of(IpAddr::V4(number.into())), now);
    }
    clients.forgiven_at.run_pending_tasks();
    assert!(clients.forgiven_at.entry_count() <= ADDRESSES_MAX, "{}", clients.forgiven_at.entry_count());
}
