//! Deliveries over TLS: to whom the certificate belongs, and to nobody else.

use rcgen::date_time_ymd;
use rustls::RootCertStore;
use trunkline_boot::Settings;
use trunkline_domain::AttemptOutcome;
use trunkline_store::deliveries::EndedAttempt;
use trunkline_testkit::seed_tenant;
use trunkline_worker::ceiling::Ceiling;

use crate::authority::Authority;
use crate::house::{House, millis};
use crate::raw_endpoint::{RawEndpoint, Then};

async fn deliver(url: &str, roots: RootCertStore) -> EndedAttempt {
    Ceiling::trusting(url, roots, |_| {}).unwrap().deliver().await
}

fn assert_tls_error(attempt: &EndedAttempt, reason: &str) {
    let error = attempt.error.as_deref().unwrap_or_default();
    assert_eq!(attempt.outcome, AttemptOutcome::TlsError, "{error}");
    assert!(error.contains(reason), "{error}");
}

#[tokio::test]
async fn an_endpoint_with_a_trusted_certificate_is_delivered_to() {
    let authority = Authority::new("ours");
    for (name, host) in [("localhost", "localhost"), ("127.0.0.1", "127.0.0.1")] {
        let port = authority.endpoint(name, |_| {}).await;
        let ceiling =
            Ceiling::trusting(&format!("https://{host}:{port}/hook"), authority.roots(), |_| {}).unwrap();
        for _ in 0..3 {
            let attempt = ceiling.deliver().await;
            assert_eq!(attempt.outcome, AttemptOutcome::Succeeded, "{:?}", attempt.error);
            assert_eq!(attempt.response_excerpt, b"ok");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_proves_nothing_is_a_tls_error() {
    let authority = Authority::new("ours");
    let port = authority.endpoint("localhost", |_| {}).await;
    let url = format!("https://localhost:{port}/hook");
    assert_tls_error(&deliver(&url, Authority::new("another").roots()).await, "UnknownIssuer");

    let port = authority.endpoint("elsewhere.example", |_| {}).await;
    let url = format!("https://localhost:{port}/hook");
    assert_tls_error(&deliver(&url, authority.roots()).await, "not valid for name");

    let port = authority.endpoint("localhost", |params| params.not_after = date_time_ymd(2020, 1, 1)).await;
    let url = format!("https://localhost:{port}/hook");
    assert_tls_error(&deliver(&url, authority.roots()).await, "expired");
}

#[tokio::test]
async fn a_worker_trusts_no_certificate_that_signs_itself() {
    let house = House::with(|settings| settings.delivery.retry_schedule = vec![millis(3_600_000)]).await;
    let port = Authority::new("ours").endpoint("localhost", |_| {}).await;
    let url = format!("https://localhost:{port}/hook");
    let tenant = seed_tenant(&house.database, &house.settings, "private-ca", &url).await;
    let worker = house.worker().await;
    let event_id = trunkline_testkit::publish(&house.database, &tenant, "{}").await;
    house.until(event_id, "FAILED").await;
    assert_eq!(house.outcomes(event_id).await, "tls_error");
    worker.stop().await;
}

#[tokio::test]
async fn what_is_no_handshake_is_a_tls_error() {
    const HANDSHAKE: &[u8] = &[22, 3, 3];
    let cases: [(&str, Vec<u8>, Then); 11] = [
        ("no TLS", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Then::Hold),
        ("nothing", Vec::new(), Then::Close),
        ("another protocol", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), Then::Close),
        ("zeros", vec![0; 512], Then::Close),
        ("high bytes", vec![0xff; 512], Then::Hold),
        ("high bytes without end", vec![0xff; 512], Then::Repeat(vec![0xff; 4_096])),
        ("a refusal", vec![21, 3, 3, 0, 2, 2, 40], Then::Hold),
        ("half a record", [HANDSHAKE, &[0, 100, 2]].concat(), Then::Close),
        ("a record beyond the longest", [HANDSHAKE, &[0xff; 600]].concat(), Then::Hold),
        ("a message of garbage", [HANDSHAKE, &[0, 8, 2, 0, 0, 4, 9, 9, 9, 9]].concat(), Then::Hold),
        (
            "a message without end",
            Vec::new(),
            Then::Repeat([HANDSHAKE, &[0, 4, 2, 0xff, 0xff, 0xff]].concat()),
        ),
    ];
    for (name, says, then) in cases {
        let endpoint = RawEndpoint::greeting(says, then).await;
        let url = endpoint.url.replace("http://", "https://");
        let attempt = deliver(&url, Authority::new("ours").roots()).await;
        let error = attempt.error.as_deref().unwrap_or_default();
        assert_eq!(attempt.outcome, AttemptOutcome::TlsError, "{name}: {error}");
        assert!(error.starts_with("no TLS session: "), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends_ends_in_time_and_is_named() {
    let endpoint = RawEndpoint::greeting(Vec::new(), Then::Hold).await;
    let url = endpoint.url.replace("http://", "https://");
    let soon = |settings: &mut Settings| settings.delivery.connect_timeout = millis(300);
    let ceiling = Ceiling::trusting(&url, Authority::new("ours").roots(), soon).unwrap();
    let attempt = ceiling.deliver().await;
    assert_eq!(attempt.outcome, AttemptOutcome::Timeout);
    assert_eq!(attempt.error.as_deref(), Some("no TLS session was made within 0.3 s"));
}
