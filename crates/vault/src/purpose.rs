//! One key per purpose, and the context that a sealing is bound to.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{NONCE_BYTES, VaultError};

/// What something was sealed for. Its name derives the key and is part of what is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    EndpointSecret,
    CustomHeader,
    PageToken,
}

impl Purpose {
    /// Never change one: everything sealed under it would be lost.
    fn name(self) -> &'static [u8] {
        match self {
            Self::EndpointSecret => b"endpoint-secret",
            Self::CustomHeader => b"custom-header",
            Self::PageToken => b"page-token",
        }
    }

    /// The cipher for this purpose under a root key (RFC 5869: the purpose is HKDF's `info`).
    pub(crate) fn cipher(self, root_key: &[u8; 32]) -> XChaCha20Poly1305 {
        let mut derived = Zeroizing::new([0_u8; 32]);
        Hkdf::<Sha256>::new(Some(b"trunkline-vault-1"), root_key)
            .expand(self.name(), derived.as_mut_slice())
            .expect("32 bytes are within what HKDF-SHA256 can give");
        XChaCha20Poly1305::new(<&Key>::from(&*derived))
    }

    /// The associated data: purpose, tenant and context, each behind its length, so that no two triples read alike.
    fn bound_to(self, tenant: &str, context: &[u8]) -> Vec<u8> {
        let mut bound = Vec::with_capacity(64 + tenant.len() + context.len());
        for part in [self.name(), tenant.as_bytes(), context] {
            bound.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bound.extend_from_slice(part);
        }
        bound
    }

    /// Nonce, ciphertext and tag, in this order.
    pub(crate) fn seal(
        self,
        cipher: &XChaCha20Poly1305,
        tenant: &str,
        context: &[u8],
        plaintext: &[u8],
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Vec<u8>, VaultError> {
        let payload = Payload { msg: plaintext, aad: &self.bound_to(tenant, context) };
        let sealed = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| VaultError::TooLong)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// The plaintext of what [`Purpose::seal`] made with the same cipher, tenant and context.
    pub(crate) fn open(
        self,
        cipher: &XChaCha20Poly1305,
        tenant: &str,
        context: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(VaultError::NotAuthentic)?;
        let payload = Payload { msg: sealed, aad: &self.bound_to(tenant, context) };
        let opened = cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| VaultError::NotAuthentic)?;
        Ok(Zeroizing::new(opened))
    }
}
