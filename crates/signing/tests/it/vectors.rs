//! The committed vectors, ours and those that Python's libraries made.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use trunkline_signing::standard::StandardHeaders;
use trunkline_signing::{Scheme, Secret, sign, standard, stripe, verify_any};

#[derive(Deserialize)]
struct File<T> {
    vectors: Vec<T>,
}

#[derive(Deserialize)]
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) webhook_id: String,
    pub(crate) timestamp: i64,
    pub(crate) body: String,
    pub(crate) secrets: Vec<String>,
    stripe_signature: String,
    webhook_signature: String,
}

#[derive(Deserialize)]
struct PythonVector {
    name: String,
    webhook_id: String,
    timestamp: i64,
    body: String,
    signed: Vec<SignedByPython>,
}

#[derive(Deserialize)]
struct SignedByPython {
    secret: String,
    stripe_signature: String,
    webhook_signature: String,
}

pub(crate) fn ours() -> Vec<Vector> {
    read(include_str!("../../vectors.json"))
}

fn read<T: DeserializeOwned>(text: &str) -> Vec<T> {
    serde_json::from_str::<File<T>>(text).unwrap().vectors
}

#[test]
fn signing_gives_every_vector() {
    for vector in ours() {
        let secrets: Vec<Secret> = vector.secrets.iter().map(|text| Secret::parse(text).unwrap()).collect();
        let secrets: Vec<&Secret> = secrets.iter().collect();
        let headers = sign(&vector.webhook_id, vector.timestamp, vector.body.as_bytes(), &secrets);
        assert_eq!(headers.stripe_signature, vector.stripe_signature, "{}", vector.name);
        assert_eq!(headers.webhook_signature, vector.webhook_signature, "{}", vector.name);
        assert_eq!(headers.webhook_id, vector.webhook_id);
        assert_eq!(headers.webhook_timestamp, vector.timestamp.to_string());
    }
}

#[test]
fn any_secret_of_a_rotation_verifies_every_vector() {
    for vector in ours() {
        for text in &vector.secrets {
            let secret = Secret::parse(text).unwrap();
            let timestamp = vector.timestamp.to_string();
            let header = |name: &str| match name {
                "webhook-id" => Some(vector.webhook_id.as_str()),
                "webhook-timestamp" => Some(timestamp.as_str()),
                "webhook-signature" => Some(vector.webhook_signature.as_str()),
                "Stripe-Signature" => Some(vector.stripe_signature.as_str()),
                _ => None,
            };
            let verified =
                verify_any(header, vector.body.as_bytes(), &[&secret], vector.timestamp, Duration::ZERO)
                    .unwrap();
            assert_eq!(verified.scheme, Scheme::Standard);
            assert_eq!(verified.webhook_id.as_deref(), Some(vector.webhook_id.as_str()));
            assert_eq!(verified.timestamp, vector.timestamp);
        }
    }
}

#[test]
fn signatures_made_in_python_are_verified() {
    let vectors: Vec<PythonVector> = read(include_str!("../../vectors_python.json"));
    assert_eq!(vectors.len(), ours().len(), "renew vectors_python.json with .ci/signatures.py --write");
    for vector in vectors {
        let (body, at) = (vector.body.as_bytes(), vector.timestamp);
        for signed in vector.signed {
            let secret = Secret::parse(&signed.secret).unwrap();
            let timestamp = at.to_string();
            let headers = StandardHeaders {
                id: &vector.webhook_id,
                timestamp: &timestamp,
                signature: &signed.webhook_signature,
            };
            let standard = standard::verify(headers, body, &[&secret], at, Duration::ZERO);
            assert_eq!(standard, Ok(at), "{}", vector.name);
            let stripe = stripe::verify(&signed.stripe_signature, body, &[&secret], at, Duration::ZERO);
            assert_eq!(stripe, Ok(at), "{}", vector.name);
        }
    }
}
