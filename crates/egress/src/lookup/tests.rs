use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::rdata::{A, AAAA, NS};
use hickory_resolver::proto::rr::{RData, Record};
use tokio::net::UdpSocket;

use super::*;
use crate::{EgressPolicy, GuardedResolver, ResolveError};

/// What a name server answers to a name and a type of record.
enum Answer {
    Is(IpAddr),
    Code(ResponseCode),
    Nothing,
}

use Answer::{Code, Is, Nothing};

/// A name server on a port of its own.
async fn name_server(
    answer: impl Fn(&str, RecordType) -> Answer + Send + 'static,
) -> (ResolverConfig, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut server = NameServerConfig::udp(Ipv4Addr::LOCALHOST.into());
    server.connections[0].port = socket.local_addr().unwrap().port();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        let mut packet = [0; 4_096];
        loop {
            let (length, from) = socket.recv_from(&mut packet).await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            let question = Message::from_vec(&packet[..length]).unwrap();
            let query = question.queries[0].clone();
            let name = query.name().to_ascii();
            let mut message = Message::response(question.id, question.op_code);
            message.add_query(query.clone());
            match answer(name.trim_end_matches('.'), query.query_type()) {
                Nothing => continue,
                Code(code) => message.metadata.response_code = code,
                Is(address) => {
                    let data = match (query.query_type(), address) {
                        (RecordType::A, IpAddr::V4(address)) => Some(RData::A(A(address))),
                        (RecordType::AAAA, IpAddr::V6(address)) => Some(RData::AAAA(AAAA(address))),
                        (RecordType::NS, _) => Some(RData::NS(NS(Name::from_ascii("ns.").unwrap()))),
                        _ => None,
                    };
                    message.add_answers(data.map(|data| Record::from_rdata(query.name().clone(), 60, data)));
                }
            }
            socket.send_to(&message.to_vec().unwrap(), from).await.unwrap();
        }
    });
    (ResolverConfig::from_parts(None, Vec::new(), vec![server]), asked)
}

fn names(config: ResolverConfig) -> Arc<Names> {
    Arc::new(Names::new(Hosts::default(), config, ResolverOpts::default(), LIMIT).unwrap())
}

const PUBLIC: &str = "93.184.215.14";

fn public() -> Answer {
    Is(PUBLIC.parse().unwrap())
}

fn found(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

/// As many as there may be attempts at endpoints of which nothing is known, and one more.
#[tokio::test]
async fn names_whose_servers_are_silent_keep_no_other_waiting() {
    let (config, _) =
        name_server(|name, _| if name.ends_with("silent.example") { Nothing } else { public() }).await;
    let names = names(config);
    let lookup: Lookup = Arc::new(move |name| {
        let names = names.clone();
        Box::pin(async move { names.addresses(&name).await })
    });
    let resolver = Arc::new(GuardedResolver::new(Arc::new(EgressPolicy::default()), lookup));
    let mut silent = tokio::task::JoinSet::new();
    let began = Instant::now();
    for number in 0..300 {
        let resolver = resolver.clone();
        silent.spawn(async move { resolver.resolve(&format!("{number}.silent.example")).await });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let asked = Instant::now();
    resolver.resolve("good.example").await.unwrap();
    // 44 wait for a turn before it, and 256 are given up within the limit.
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    while let Some(result) = silent.join_next().await {
        let error = result.unwrap().unwrap_err();
        assert!(
            matches!(&error, ResolveError::Failed { source: LookupError::OfName(_), .. }),
            "the name servers answer for others: {error}"
        );
    }
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    assert!(threads < 100, "{threads} threads");
}

#[tokio::test]
async fn a_name_has_the_addresses_of_both_kinds() {
    let (config, _) = name_server(|name, kind| match (name, kind) {
        ("both.example", RecordType::AAAA) => Is("2606:4700::1111".parse().unwrap()),
        ("both.example" | "half.example", RecordType::A) => public(),
        // Some servers leave the question for AAAA unanswered.
        ("half.example", _) => Nothing,
        _ => Code(ResponseCode::NXDomain),
    })
    .await;
    let names = names(config);
    assert_eq!(found(&names.addresses("both.example").await.unwrap()), ["2606:4700::1111", PUBLIC]);
    assert_eq!(found(&names.addresses("half.example").await.unwrap()), [PUBLIC]);
    assert!(names.addresses("none.example").await.unwrap().is_empty());
    assert!(names.addresses(&"x".repeat(64)).await.unwrap().is_empty());
}

/// resolv.conf of a pod: `search shop.svc.cluster.local svc.cluster.local`, `options ndots:5`.
#[tokio::test]
async fn names_inside_of_a_cluster_mean_what_they_mean_in_their_namespace() {
    let asked_for = Arc::new(Mutex::new(BTreeSet::new()));
    let asked = asked_for.clone();
    let (config, _) = name_server(move |name, _| {
        asked.lock().unwrap().insert(name.to_owned());
        match name {
            "hooks.shop.svc.cluster.local" => Is("10.1.2.3".parse().unwrap()),
            "hooks.example.com" => public(),
            _ => Code(ResponseCode::NXDomain),
        }
    })
    .await;
    let (_, _, servers) = config.into_parts();
    let search = ["shop.svc.cluster.local", "svc.cluster.local"].map(|name| Name::from_ascii(name).unwrap());
    let of_host = Some(Name::from_ascii("host.example").unwrap());
    let config = ResolverConfig::from_parts(of_host, search.to_vec(), servers);
    let mut options = ResolverOpts::default();
    options.ndots = 5;
    let names = Names::new(Hosts::default(), config, options, LIMIT).unwrap();
    assert_eq!(found(&names.addresses("hooks").await.unwrap()), ["10.1.2.3"]);
    assert_eq!(found(&names.addresses("hooks.example.com").await.unwrap()), [PUBLIC]);
    assert!(asked_for.lock().unwrap().contains("hooks.example.com.svc.cluster.local"), "searched first");
    assert!(!asked_for.lock().unwrap().iter().any(|name| name.ends_with("host.example")));
    // With a full stop at its end a name is searched nowhere.
    assert!(names.addresses("hooks.").await.unwrap().is_empty());
}

#[tokio::test]
async fn the_list_of_hosts_comes_first_and_is_all_that_counts_for_its_names() {
    let (config, asked) = name_server(|_, kind| match kind {
        RecordType::AAAA => Is("2606:4700::1111".parse().unwrap()),
        _ => public(),
    })
    .await;
    let mut hosts = Hosts::default();
    hosts.read_hosts_conf(b"10.9.8.7  inside.example inside\n".as_slice()).unwrap();
    let names = Names::new(hosts, config, ResolverOpts::default(), LIMIT).unwrap();
    for name in ["inside.example", "inside", "Inside.Example."] {
        assert_eq!(found(&names.addresses(name).await.unwrap()), ["10.9.8.7"], "{name}");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn whose_fault_it_is_that_a_name_has_no_answer_is_told_apart() {
    async fn error(answer: impl Fn(&str, RecordType) -> Answer + Send + 'static) -> LookupError {
        let (config, _) = name_server(answer).await;
        names(config).addresses("shop.example").await.unwrap_err()
    }
    let its_own = |error: LookupError| assert!(matches!(error, LookupError::OfName(_)), "{error}");
    let ours = |error: LookupError| assert!(matches!(error, LookupError::Ours(_)), "{error}");
    let (silent, failing, away, forwarding) = tokio::join!(
        error(|name, _| if name.is_empty() { public() } else { Nothing }),
        error(|name, _| Code(if name.is_empty() { ResponseCode::Refused } else { ResponseCode::ServFail })),
        error(|_, _| Nothing),
        error(|_, _| Code(ResponseCode::ServFail)),
    );
    its_own(silent);
    its_own(failing);
    ours(away);
    ours(forwarding);
}

/// Every attempt at a name that has no answer ends within what its caller waits.
#[tokio::test]
async fn a_look_up_takes_no_longer_than_its_limit_and_half_of_it() {
    let (config, _) = name_server(|_, _| Nothing).await;
    let limit = Duration::from_millis(500);
    let names = Names::new(Hosts::default(), config, ResolverOpts::default(), limit).unwrap();
    let began = Instant::now();
    names.addresses("shop.example").await.unwrap_err();
    assert!(began.elapsed() < limit + limit / SHARE + Duration::from_millis(200), "{:?}", began.elapsed());
}
