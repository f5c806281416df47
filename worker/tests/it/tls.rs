//! Deliveries over TLS: to whom the certificate belongs, and to nobody else.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use trunkline_domain::AttemptOutcome;
use trunkline_store::deliveries::EndedAttempt;
use trunkline_testkit::seed_tenant;
use trunkline_worker::ceiling::Ceiling;

use crate::house::{House, millis};
use crate::raw_endpoint::{Conduct, RawEndpoint, Then, serve};

/// An authority that only those know who are told.
struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        roots
    }

    /// Starts an endpoint with a certificate for that name, and returns its port.
    async fn endpoint(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> u16 {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that does not trust us ends it here.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let says = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec();
                        serve(stream, Conduct { says, then: Then::Listen }).await;
                    }
                });
            }
        });
        port
    }
}

async fn deliver(url: &str, roots: RootCertStore) -> EndedAttempt {
    Ceiling::trusting(url, roots).unwrap().deliver().await
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
        let ceiling = Ceiling::trusting(&format!("https://{host}:{port}/hook"), authority.roots()).unwrap();
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
async fn an_endpoint_that_speaks_no_tls_where_it_should_is_a_tls_error() {
    let says = b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
    let endpoint = RawEndpoint::greeting(says).await;
    let url = endpoint.url.replace("http://", "https://");
    assert_tls_error(&deliver(&url, Authority::new("ours").roots()).await, "no TLS session");
}
