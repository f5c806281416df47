//! API keys: `tl_`, 256 random bits, and a checksum that lets garbage be refused without a query.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// What every key starts with, so that people and secret scanners recognise one.
pub const API_KEY_PREFIX: &str = "tl_";

/// Length of a key's text: the prefix, then base64url of 32 random and 4 checksum bytes (36 bytes fill 48 characters
/// exactly, so that a key has one spelling).
pub const API_KEY_CHARS: usize = API_KEY_PREFIX.len() + 48;

/// How many characters of a key people are shown to tell their keys apart: 42 of its 256 bits.
const SHOWN_CHARS: usize = 10;

/// An API key's text. It exists in the moment of its creation and in requests; stored is only its [`hash`](Self::hash).
#[derive(Clone)]
pub struct ApiKey(Zeroizing<String>);

impl ApiKey {
    /// Makes a new key out of 32 random bytes.
    #[must_use]
    pub fn from_random(mut random: [u8; 32]) -> Self {
        let mut bytes = Zeroizing::new([0_u8; 36]);
        bytes[..32].copy_from_slice(&random);
        bytes[32..].copy_from_slice(&checksum(&random));
        random.zeroize();
        let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()));
        Self(Zeroizing::new(format!("{API_KEY_PREFIX}{}", encoded.as_str())))
    }

    /// Reads a key as a client sent it. `None` for whatever no Trunkline ever issued: prefix, length, alphabet or
    /// checksum differ.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != API_KEY_CHARS {
            return None;
        }
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text.strip_prefix(API_KEY_PREFIX)?).ok()?);
        let (random, given) = bytes.split_first_chunk::<32>()?;
        bool::from(checksum(random).ct_eq(given)).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// SHA-256 of the key's text: what is stored and looked up. A slow hash would protect no better, since a key is
    /// 256 random bits and cannot be guessed.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// The first ten characters, by which people tell their keys apart.
    #[must_use]
    pub fn shown_prefix(&self) -> &str {
        &self.0[..SHOWN_CHARS]
    }

    /// The text, to be shown to its owner once. Never log or store it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// The first four bytes of SHA-256 over the prefix and the random part: catches a mistyped or cut key, proves nothing.
fn checksum(random: &[u8; 32]) -> [u8; 4] {
    let digest: [u8; 32] = Sha256::new().chain_update(API_KEY_PREFIX).chain_update(random).finalize().into();
    [digest[0], digest[1], digest[2], digest[3]]
}

/// Shows that there is a key, never which.
impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiKey(..)")
    }
}
