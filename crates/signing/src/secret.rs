//! The secret that a tenant and Trunkline share for one endpoint.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize, Zeroizing};

/// Marks a secret whose rest is base64 of the key (Standard Webhooks 1.0.0, "Signature scheme").
pub const SECRET_PREFIX: &str = "whsec_";

/// How many bytes of key a secret carries: the specification's 24 to 64, or as many characters.
const LENGTH: std::ops::RangeInclusive<usize> = 24..=64;

/// A signing secret: text, from which either scheme takes its key. Overwritten in memory when dropped.
#[derive(Clone)]
pub struct Secret {
    text: Zeroizing<String>,
    /// What `whsec_` announced, decoded once rather than for each signature.
    decoded: Option<Zeroizing<Vec<u8>>>,
}

/// Why a text is not a signing secret. It says what is accepted, and never what was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It starts with `whsec_`, and the rest is not base64 of enough bytes.
    #[error("after whsec_ a secret is the padded base64 of 24 to 64 bytes")]
    NotBase64,
    /// It does not start with `whsec_`, and is too short, too long, or holds spaces, control or non-ASCII characters.
    #[error("a secret is whsec_ and base64, or 24 to 64 visible ASCII characters")]
    NotVisible,
    /// It is empty, and an empty key signs nothing.
    #[error("a secret is not empty")]
    Empty,
}

impl Secret {
    /// Accepts a secret that a tenant has chosen: `whsec_` and the padded base64 of 24 to 64 bytes, or else 24 to 64
    /// visible ASCII characters.
    ///
    /// # Errors
    /// [`SecretError`] naming the rule that is broken. A text that starts with `whsec_` but is not base64 is refused
    /// although it is visible: the libraries of receivers would fail on it.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        if text.starts_with(SECRET_PREFIX) {
            let secret = Self::from_stored(text)?;
            let long_enough = secret.decoded.as_ref().is_some_and(|key| LENGTH.contains(&key.len()));
            return if long_enough { Ok(secret) } else { Err(SecretError::NotBase64) };
        }
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && LENGTH.contains(&text.len()) {
            Self::from_stored(text)
        } else {
            Err(SecretError::NotVisible)
        }
    }

    /// Takes a secret that was accepted before, or that another sender has issued: whatever its form, as long as there
    /// is one.
    ///
    /// # Errors
    /// [`SecretError::Empty`].
    pub fn from_stored(text: &str) -> Result<Self, SecretError> {
        if text.is_empty() {
            return Err(SecretError::Empty);
        }
        let base64 = text.strip_prefix(SECRET_PREFIX).filter(|rest| !rest.is_empty());
        let decoded = base64.and_then(|rest| STANDARD.decode(rest).ok()).map(Zeroizing::new);
        Ok(Self { text: Zeroizing::new(text.to_owned()), decoded })
    }

    /// Makes a new secret out of 32 random bytes: `whsec_` and their base64, 50 characters.
    #[must_use]
    pub fn generate(mut random: [u8; 32]) -> Self {
        let text = Zeroizing::new(format!("{SECRET_PREFIX}{}", STANDARD.encode(random)));
        let decoded = Some(Zeroizing::new(random.to_vec()));
        random.zeroize();
        Self { text, decoded }
    }

    /// The text, to be sealed or shown to its owner once. Never log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The key under Stripe's scheme: the text as it stands, `whsec_` included.
    #[must_use]
    pub fn stripe_key(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The key under Standard Webhooks: the bytes behind `whsec_` where they are canonical padded base64, else the
    /// whole text.
    #[must_use]
    pub fn standard_key(&self) -> &[u8] {
        self.decoded.as_ref().map_or(self.text.as_bytes(), |key| key.as_slice())
    }
}

/// Shows that there is a secret, never which.
impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}
