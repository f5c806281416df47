#![doc = include_str!("../README.md")]

pub mod header;
mod mac;
pub mod secret;
pub mod standard;
pub mod stripe;
mod timestamp;
mod verify;

pub use header::SignatureHeaders;
pub use secret::{Secret, SecretError};
pub use verify::{Scheme, Verified, VerifyError, verify_any};

/// The most signatures read from one header: a rotation keeps at most six secrets valid, and a request must not be able
/// to buy more comparisons than a sender could ever need.
pub const SIGNATURES_MAX: usize = 16;

/// The longest header value that is read, in bytes: sixteen signatures of either scheme fit three times over.
pub const HEADER_BYTES_MAX: usize = 4096;

/// Signs `body` under both schemes with every secret, newest first: the order given is the order sent.
///
/// `timestamp` is in seconds since the Unix epoch. `id` must not contain a full stop, which separates the signed parts
/// (Standard Webhooks 1.0.0, "Signature scheme"); [`standard::verify`] refuses one that does.
#[must_use]
pub fn sign(id: &str, timestamp: i64, body: &[u8], secrets: &[&Secret]) -> SignatureHeaders {
    SignatureHeaders {
        stripe_signature: stripe::sign(timestamp, body, secrets),
        webhook_id: id.to_owned(),
        webhook_timestamp: timestamp.to_string(),
        webhook_signature: standard::sign(id, timestamp, body, secrets),
    }
}
