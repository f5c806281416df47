//! Endpoint secrets at rest.

use trunkline_domain::{EndpointId, TenantId};
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
        tenant_id: &TenantId,
        endpoint_id: EndpointId,
        plaintext: &[u8],
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Sealed, VaultError> {
        if plaintext.len() > SECRET_BYTES_MAX {
            return Err(VaultError::TooLong);
        }
        let key = self.sealing_key();
        let context = endpoint_id.to_string();
        let bytes = Purpose::EndpointSecret.seal(
            &key.secrets,
            tenant_id.as_str(),
            context.as_bytes(),
            plaintext,
            nonce,
        )?;
        Ok(Sealed { key_id: key.id.clone(), bytes })
    }

    /// Opens what [`Vault::seal_secret`] sealed for the same tenant and endpoint.
    ///
    /// # Errors
    /// [`VaultError::UnknownKey`] when its key is not among ours; [`VaultError::NotAuthentic`] when it was sealed for
    /// another owner, or changed.
    pub fn open_secret(
        &self,
        tenant_id: &TenantId,
        endpoint_id: EndpointId,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let key = self.key(&sealed.key_id)?;
        let context = endpoint_id.to_string();
        Purpose::EndpointSecret.open(&key.secrets, tenant_id.as_str(), context.as_bytes(), &sealed.bytes)
    }

    /// The same secret under the key that seals now; `None` if it is under that key already.
    ///
    /// # Errors
    /// As [`Vault::open_secret`].
    pub fn reseal_secret(
        &self,
        tenant_id: &TenantId,
        endpoint_id: EndpointId,
        sealed: &Sealed,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Option<Sealed>, VaultError> {
        if sealed.key_id == self.sealing_key_id() {
            return Ok(None);
        }
        let plaintext = self.open_secret(tenant_id, endpoint_id, sealed)?;
        self.seal_secret(tenant_id, endpoint_id, &plaintext, nonce).map(Some)
    }
}
