//! Page tokens: where a listing goes on, told to the client without being told.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::purpose::Purpose;
use crate::{NONCE_BYTES, Vault, VaultError};

/// The longest page token, in characters: it travels in a query string.
pub const TOKEN_CHARS_MAX: usize = 512;

/// What sealing adds to a cursor: nonce and tag.
const OVERHEAD_BYTES: usize = NONCE_BYTES + 16;

impl Vault {
    /// Seals a cursor into URL-safe text. It opens only for this tenant and this filter, given as the same bytes.
    /// `nonce` is fresh random bytes.
    ///
    /// # Errors
    /// [`VaultError::TooLong`] when the token would exceed [`TOKEN_CHARS_MAX`]: a cursor has at most 344 bytes.
    pub fn seal_token(
        &self,
        tenant: &str,
        filter: &[u8],
        cursor: &[u8],
        nonce: [u8; NONCE_BYTES],
    ) -> Result<String, VaultError> {
        if cursor.len() + OVERHEAD_BYTES > TOKEN_CHARS_MAX / 4 * 3 {
            return Err(VaultError::TooLong);
        }
        let sealed = Purpose::PageToken.seal(&self.sealing_key().tokens, tenant, filter, cursor, nonce)?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Opens a token that [`Vault::seal_token`] made for the same tenant and filter.
    ///
    /// A token names no key, since a client has no business with key ids: every key is tried, and there are few.
    ///
    /// # Errors
    /// [`VaultError::TooLong`] beyond [`TOKEN_CHARS_MAX`], else [`VaultError::NotAuthentic`]: whoever sent it learns
    /// nothing about why.
    pub fn open_token(&self, tenant: &str, filter: &[u8], token: &str) -> Result<Vec<u8>, VaultError> {
        if token.len() > TOKEN_CHARS_MAX {
            return Err(VaultError::TooLong);
        }
        let sealed = URL_SAFE_NO_PAD.decode(token).map_err(|_| VaultError::NotAuthentic)?;
        let opened = self
            .keys()
            .iter()
            .find_map(|key| Purpose::PageToken.open(&key.tokens, tenant, filter, &sealed).ok());
        opened.map(|cursor| cursor.to_vec()).ok_or(VaultError::NotAuthentic)
    }
}
