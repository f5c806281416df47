#![doc = include_str!("../README.md")]

pub mod api_key;
mod error;
mod header;
mod operator_keys;
mod purpose;
mod secret;
mod token;
mod vault;

pub use api_key::ApiKey;
pub use error::{KeysRefused, VaultError};
pub use header::SEALED_PREFIX;
pub use operator_keys::{OperatorKeys, bearer, fingerprint};
pub use secret::Sealed;
pub use token::TOKEN_CHARS_MAX;
pub use vault::Vault;

/// Bytes of a nonce: XChaCha20's is long enough to be drawn at random for every sealing, without a counter to keep.
pub const NONCE_BYTES: usize = 24;
