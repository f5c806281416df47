//! Values of custom headers at rest: they are often the credentials of the endpoint that gets them.
//!
//! A value is kept as text, `sealed:KEY_ID:BASE64`, so that it lies in the same column as names do, and a DBA can see which
//! key it needs. What lacks the prefix was written by hand, or by a release before this: it is taken as it stands.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use trunkline_domain::{EndpointId, TenantId};
use zeroize::Zeroizing;

use crate::purpose::Purpose;
use crate::{NONCE_BYTES, Vault, VaultError};

/// What a sealed value starts with.
pub const SEALED_PREFIX: &str = "sealed:";

/// The longest value, in bytes, as the domain accepts it.
const VALUE_BYTES_MAX: usize = 4096;

impl Vault {
    /// Seals the value of an endpoint's header: it opens for this tenant, endpoint and header only. `nonce` is fresh random
    /// bytes.
    ///
    /// # Errors
    /// [`VaultError::TooLong`] beyond 4,096 bytes.
    pub fn seal_header(
        &self,
        tenant_id: &TenantId,
        endpoint_id: EndpointId,
        name: &str,
        value: &str,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<String, VaultError> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(VaultError::TooLong);
        }
        let key = self.sealing_key();
        let sealed = Purpose::CustomHeader.seal(
            &key.headers,
            tenant_id.as_str(),
            &context(endpoint_id, name),
            value.as_bytes(),
            nonce,
        )?;
        Ok(format!("{SEALED_PREFIX}{}:{}", key.id, STANDARD.encode(sealed)))
    }

    /// Opens what [`Vault::seal_header`] sealed for the same tenant, endpoint and header; returns what is not sealed as it is.
    ///
    /// # Errors
    /// [`VaultError::UnknownKey`] when its key is not among ours; [`VaultError::NotAuthentic`] when it was sealed for
    /// another owner or header, or changed.
    pub fn open_header(
        &self,
        tenant_id: &TenantId,
        endpoint_id: EndpointId,
        name: &str,
        stored: &str,
    ) -> Result<Zeroizing<String>, VaultError> {
        let Some(sealed) = stored.strip_prefix(SEALED_PREFIX) else {
            return Ok(Zeroizing::new(stored.to_owned()));
        };
        let (key_id, encoded) = sealed.split_once(':').ok_or(VaultError::NotAuthentic)?;
        let key = self.key(key_id)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| VaultError::NotAuthentic)?;
        let context = context(endpoint_id, name);
        let opened = Purpose::CustomHeader.open(&key.headers, tenant_id.as_str(), &context, &bytes)?;
        let value = std::str::from_utf8(&opened).map_err(|_| VaultError::NotAuthentic)?;
        Ok(Zeroizing::new(value.to_owned()))
    }

    /// The same value under the key that seals now; `None` if it is under that key already.
    ///
    /// # Errors
    /// As [`Vault::open_header`].
    pub fn reseal_header(
        &self,
        tenant_id: &TenantId,
        endpoint_id: EndpointId,
        name: &str,
        stored: &str,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Option<String>, VaultError> {
        let key_id = stored.strip_prefix(SEALED_PREFIX).and_then(|sealed| sealed.split(':').next());
        if key_id == Some(self.sealing_key_id()) {
            return Ok(None);
        }
        let value = self.open_header(tenant_id, endpoint_id, name, stored)?;
        self.seal_header(tenant_id, endpoint_id, name, &value, nonce).map(Some)
    }
}

/// An endpoint's id always has the same length, so no two pairs read alike. Capitals make no difference in a name.
fn context(endpoint_id: EndpointId, name: &str) -> Vec<u8> {
    format!("{endpoint_id}:{}", name.to_ascii_lowercase()).into_bytes()
}
