//! The egress proxy: what goes through it, what it is told, and what its refusals come to.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use secrecy::SecretString;
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use trunkline_boot::Shutdown;
use trunkline_boot::settings::EgressProxy;
use trunkline_domain::AttemptOutcome;
use trunkline_egress::Lookup;
use trunkline_store::deliveries::EndedAttempt;
use trunkline_testkit::{publish, seed_tenant};
use trunkline_worker::ceiling::Ceiling;

use crate::authority::Authority;
use crate::house::{House, millis};
use crate::raw_endpoint::read_head;

/// Must show nowhere.
const PASSWORD: &str = "c4n4ry-of-the-proxy";

/// A proxy that answers each CONNECT the same, and leads to `leads_to` whatever it was asked for if that is a yes.
struct TestProxy {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl TestProxy {
    async fn start(answer: impl Into<Vec<u8>>, leads_to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self { port: listener.local_addr().unwrap().port(), heads: Arc::default() };
        let (answer, heads) = (answer.into(), proxy.heads.clone());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let Some(head) = read_head(&mut client).await else { continue };
                heads.lock().unwrap().push(head);
                let answer = answer.clone();
                tokio::spawn(async move {
                    let _ = client.write_all(&answer).await;
                    if answer.starts_with(b"HTTP/1.1 200") {
                        let Ok(mut endpoint) = TcpStream::connect(("127.0.0.1", leads_to)).await else {
                            return;
                        };
                        let _ = copy_bidirectional(&mut client, &mut endpoint).await;
                    }
                });
            }
        });
        proxy
    }

    /// One that does as it is asked.
    async fn willing(leads_to: u16) -> Self {
        Self::start(b"HTTP/1.1 200 Connection established\r\nvia: test\r\n\r\n", leads_to).await
    }

    fn setting(&self) -> Option<EgressProxy> {
        let credentials = SecretString::from(format!("user:{PASSWORD}"));
        Some(EgressProxy { host: "127.0.0.1".to_owned(), port: self.port, credentials: Some(credentials) })
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn meaning(addresses: &'static [&'static str]) -> Lookup {
    Arc::new(move |_| {
        Box::pin(async move { Ok(addresses.iter().map(|address| address.parse().unwrap()).collect()) })
    })
}

fn port_of(url: &str) -> u16 {
    url.rsplit(':').next().unwrap().split('/').next().unwrap().parse().unwrap()
}

/// Delivers one event to `http://shop.example` through the proxy, and returns its outcomes.
async fn deliver(house: &mut House, proxy: &TestProxy, lookup: Lookup) -> String {
    house.settings.egress.proxy = proxy.setting();
    house.settings.delivery.retry_schedule = vec![millis(3_600_000)];
    let url = format!("http://shop.example:{}/hook", port_of(&house.sink.url("")));
    let tenant = seed_tenant(&house.database, &house.settings, "shop", &url).await;
    let shutdown = Shutdown::new();
    let door = trunkline_worker::build_asking(&house.settings, lookup, shutdown.clone()).await.unwrap();
    let worker = tokio::spawn(door.run_until_stopped());
    let event_id = publish(&house.database, &tenant, "{}").await;
    let told = trunkline_testkit::eventually("the attempt is told", async || {
        Some(house.outcomes(event_id).await).filter(|outcomes| !outcomes.is_empty())
    })
    .await;
    shutdown.trigger();
    worker.await.unwrap();
    told
}

#[tokio::test]
async fn a_proxy_is_asked_for_the_address_that_was_checked_and_the_endpoint_for_its_name() {
    let mut house = House::new().await;
    let port = port_of(&house.sink.url(""));
    let proxy = TestProxy::willing(port).await;
    let outcomes = deliver(&mut house, &proxy, meaning(&["127.0.0.1"])).await;
    assert_eq!(outcomes, "succeeded");
    let heads = proxy.heads();
    assert_eq!(heads.len(), 1);
    assert!(
        heads[0].starts_with(&format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n")),
        "{}",
        heads[0]
    );
    // user:c4n4ry-of-the-proxy
    assert!(
        heads[0].contains("\r\nproxy-authorization: Basic dXNlcjpjNG40cnktb2YtdGhlLXByb3h5\r\n"),
        "{}",
        heads[0]
    );
    let arrival = house.sink.arrivals().remove(0);
    assert_eq!(arrival.header("host"), format!("shop.example:{port}"));
    assert_eq!(arrival.header("proxy-authorization"), "");
}

#[tokio::test]
async fn a_proxy_never_hears_of_a_forbidden_address() {
    for answers in [&["10.0.0.1"][..], &["127.0.0.1", "169.254.169.254"]] {
        let mut house = House::new().await;
        let proxy = TestProxy::willing(port_of(&house.sink.url(""))).await;
        assert_eq!(deliver(&mut house, &proxy, meaning(answers)).await, "blocked");
        assert_eq!(proxy.heads(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_proxy_that_resolves_gets_the_name_and_nobody_else_asks() {
    let mut house = House::with(|settings| settings.egress.proxy_resolves = true).await;
    let port = port_of(&house.sink.url(""));
    let proxy = TestProxy::willing(port).await;
    // Whoever asked here would be blocked.
    assert_eq!(deliver(&mut house, &proxy, meaning(&["10.0.0.1"])).await, "succeeded");
    assert!(proxy.heads()[0].starts_with(&format!("CONNECT shop.example:{port} HTTP/1.1\r\n")));
}

#[tokio::test]
async fn a_proxy_that_fails_is_no_fault_of_the_endpoint_and_shows_nothing_of_itself() {
    use AttemptOutcome::*;
    let long = [b"HTTP/1.1 200 OK\r\nx: ".as_slice(), &[b'y'; 10_000]].concat();
    let answers: [(&[u8], AttemptOutcome); 11] = [
        (b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", Blocked),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", ConnectionError),
        (b"HTTP/1.1 503 Unavailable\r\n\r\n", ConnectionError),
        (b"HTTP/1.1 504 Gateway Timeout\r\n\r\n", ConnectionError),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", InternalError),
        (b"HTTP/1.1 405 Method Not Allowed\r\n\r\n", InternalError),
        (b"HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1/\r\n\r\n", InternalError),
        (b"SSH-2.0-OpenSSH_9.2\r\n", InternalError),
        (b"", InternalError),
        (&long, InternalError),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", InternalError),
    ];
    for (answer, outcome) in answers {
        let proxy = TestProxy::start(answer, 1).await;
        let attempt = deliver_through(proxy.setting()).await;
        assert_eq!(attempt.outcome, outcome, "{}: {:?}", String::from_utf8_lossy(answer), attempt.error);
    }
    let gone = EgressProxy { host: "127.0.0.1".to_owned(), port: 1, credentials: None };
    assert_eq!(deliver_through(Some(gone)).await.outcome, InternalError);
}

async fn deliver_through(proxy: Option<EgressProxy>) -> EndedAttempt {
    let shown = format!("{proxy:?}");
    let port = proxy.as_ref().unwrap().port.to_string();
    let ceiling =
        Ceiling::under("http://127.0.0.1:8080/hook", 0, |settings| settings.egress.proxy = proxy).unwrap();
    let attempt = ceiling.deliver().await;
    let error = attempt.error.clone().unwrap_or_default();
    assert!(!error.contains(&port) && !error.contains(PASSWORD), "{error}");
    assert!(!shown.contains(PASSWORD));
    attempt
}

#[tokio::test]
async fn tls_passes_through_the_tunnel_to_whom_the_certificate_names() {
    let authority = Authority::new("ours");
    let port = authority.endpoint("localhost", |_| {}).await;
    let proxy = TestProxy::willing(port).await;
    let url = format!("https://localhost:{port}/hook");
    let through = |settings: &mut trunkline_boot::Settings| settings.egress.proxy = proxy.setting();
    let attempt = Ceiling::trusting(&url, authority.roots(), through).unwrap().deliver().await;
    assert_eq!(attempt.outcome, AttemptOutcome::Succeeded, "{:?}", attempt.error);
    assert_eq!(proxy.heads().len(), 1);
}

#[tokio::test]
async fn proxies_of_the_environment_are_not_used() {
    let house = House::new().await;
    let trap = TestProxy::willing(port_of(&house.sink.url(""))).await;
    let mut worker = Command::new(env!("CARGO_BIN_EXE_trunkline-worker"));
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        worker.env(name, format!("http://127.0.0.1:{}", trap.port));
    }
    worker
        .env("DATABASE_URL", house.database.url())
        .env("TRUNKLINE__SECRETS__KEYS", "test:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=")
        .env("TRUNKLINE__EGRESS__ALLOW", "127.0.0.0/8")
        .env("TRUNKLINE__ADMIN__BIND", "127.0.0.1:0")
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .stdout(Stdio::null())
        .kill_on_drop(true);
    let mut running = worker.spawn().unwrap();
    let event_id = house.publish("{}").await;
    house.until(event_id, "DELIVERED").await;
    assert_eq!(trap.heads(), Vec::<String>::new());
    running.kill().await.unwrap();
}
