//! Endpoint secrets at rest.

use zeroize::Zeroizing;

use crate::purpose::Purpose;
use crate::{NONCE_BYTES, Vault, VaultError};

/// The longest plaintext, in bytes: a signing secret has at most 94, and a table is no place for large ones.
const SECRET_BYTES_MAX: usize = 1024;

/// A sealed secret as it is stored: the id of its key beside nonce, ciphertext and tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The id of the key that opens it.
    pub key_id: String,
    /// 24 bytes of nonce, then the ciphertext, then 16 bytes of tag.
    pub bytes: Vec<u8>,
}

impl Vault {
    /// Seals an endpoint's secret: it opens for this tenant and endpoint only. `nonce` is fresh random bytes.
    ///
    /// # Errors
    /// [`VaultError::TooLong`] beyond 1,024 bytes.
    pub fn seal_secret(
        &self,
        tenant: &str,
        endpoint: &str,
        plaintext: &[u8],
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Sealed, VaultError> {
        if plaintext.len() > SECRET_BYTES_MAX {
            return Err(VaultError::TooLong);
        }
        let key = self.sealing_key();
        let bytes =
            Purpose::EndpointSecret.seal(&key.secrets, tenant, endpoint.as_bytes(), plaintext, nonce)?;
        Ok(Sealed { key_id: key.id.clone(), bytes })
    }

    /// Opens what [`Vault::seal_secret`] sealed for the same tenant and endpoint.
    ///
    /// # Errors
    /// [`VaultError::UnknownKey`] when its key is not among ours; [`VaultError::NotAuthentic`] when it was sealed for
    /// another owner, or changed.
    pub fn open_secret(
        &self,
        tenant: &str,
        endpoint: &str,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let key = self.key(&sealed.key_id)?;
        Purpose::EndpointSecret.open(&key.secrets, tenant, endpoint.as_bytes(), &sealed.bytes)
    }
}
