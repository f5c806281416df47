//! Both ways with the Rust crate `standardwebhooks`: it verifies what we sign, and we verify what it signs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue};
use standardwebhooks::Webhook;
use trunkline_signing::standard::StandardHeaders;
use trunkline_signing::{Secret, sign, standard};

use crate::vectors::ours;

#[test]
fn the_library_verifies_what_we_sign_with_every_secret_of_a_rotation() {
    let now = now_unix();
    for vector in ours() {
        let secrets: Vec<Secret> = vector.secrets.iter().map(|text| Secret::parse(text).unwrap()).collect();
        let newest_first: Vec<&Secret> = secrets.iter().collect();
        let signed = sign(&vector.webhook_id, now, vector.body.as_bytes(), &newest_first);
        let headers: HeaderMap = signed
            .pairs()
            .into_iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect();
        for secret in &secrets {
            let library = library_for(secret);
            library.verify(vector.body.as_bytes(), &headers).unwrap();
            library.verify(b"another body", &headers).unwrap_err();
        }
    }
}

#[test]
fn we_verify_what_the_library_signs() {
    for vector in ours() {
        for text in &vector.secrets {
            let secret = Secret::parse(text).unwrap();
            let body = vector.body.as_bytes();
            let signature = library_for(&secret).sign(&vector.webhook_id, vector.timestamp, body).unwrap();
            let timestamp = vector.timestamp.to_string();
            let headers =
                StandardHeaders { id: &vector.webhook_id, timestamp: &timestamp, signature: &signature };
            let verified = standard::verify(headers, body, &[&secret], vector.timestamp, Duration::ZERO);
            assert_eq!(verified, Ok(vector.timestamp), "{}", vector.name);
        }
    }
}

/// The library takes base64, or a key as bytes: a secret that is its own key goes in as bytes.
fn library_for(secret: &Secret) -> Webhook {
    if secret.expose().starts_with("whsec_") {
        Webhook::new(secret.expose()).unwrap()
    } else {
        Webhook::from_bytes(secret.expose().as_bytes().to_vec()).unwrap()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the library reads the clock itself, so what it verifies is signed now"
)]
fn now_unix() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}
