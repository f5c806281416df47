//! The keys, by id.

use std::fmt;

use crate::purpose::Purpose;
use crate::{KeysRefused, VaultError};
use chacha20poly1305::XChaCha20Poly1305;

/// The longest key id, in characters.
const KEY_ID_CHARS_MAX: usize = 32;

/// Seals with its first key, opens with any of them. Holds ciphers derived per purpose, never the keys it was given.
pub struct Vault {
    /// Never empty.
    keys: Vec<VaultKey>,
}

/// One key's ciphers.
pub(crate) struct VaultKey {
    pub(crate) id: String,
    pub(crate) secrets: XChaCha20Poly1305,
    pub(crate) headers: XChaCha20Poly1305,
    pub(crate) tokens: XChaCha20Poly1305,
}

impl Vault {
    /// Takes keys by id: the first seals, all open. They are borrowed, so that no copy is left behind; the ciphers are
    /// overwritten when the vault is dropped.
    ///
    /// # Errors
    /// [`KeysRefused`] when there is none, or one has a bad id, an id twice, or nothing but zeros.
    pub fn new<'a>(keys: impl IntoIterator<Item = (&'a str, &'a [u8; 32])>) -> Result<Self, KeysRefused> {
        let mut taken: Vec<VaultKey> = Vec::new();
        for (id, root_key) in keys {
            check_id(id)?;
            let id = id.to_owned();
            if taken.iter().any(|key| key.id == id) {
                return Err(KeysRefused::DuplicateId(id));
            }
            if *root_key == [0; 32] {
                return Err(KeysRefused::ZeroKey(id));
            }
            taken.push(VaultKey {
                id,
                secrets: Purpose::EndpointSecret.cipher(root_key),
                headers: Purpose::CustomHeader.cipher(root_key),
                tokens: Purpose::PageToken.cipher(root_key),
            });
        }
        if taken.is_empty() { Err(KeysRefused::NoKey) } else { Ok(Self { keys: taken }) }
    }

    /// The id of the key that seals: what is stored under another id should be sealed again.
    #[must_use]
    pub fn sealing_key_id(&self) -> &str {
        &self.sealing_key().id
    }

    /// The ids of all keys, the one that seals first.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.id.as_str())
    }

    pub(crate) fn sealing_key(&self) -> &VaultKey {
        self.keys.first().expect("a vault has at least one key")
    }

    pub(crate) fn key(&self, id: &str) -> Result<&VaultKey, VaultError> {
        self.keys.iter().find(|key| key.id == id).ok_or_else(|| VaultError::UnknownKey(id.to_owned()))
    }

    pub(crate) fn keys(&self) -> &[VaultKey] {
        &self.keys
    }
}

fn check_id(id: &str) -> Result<(), KeysRefused> {
    let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if plain && (1..=KEY_ID_CHARS_MAX).contains(&id.len()) {
        Ok(())
    } else {
        Err(KeysRefused::BadId(id.to_owned()))
    }
}

/// Shows the ids, which are stored in the open anyway.
impl fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.keys.iter().map(|key| key.id.as_str()).collect();
        formatter.debug_struct("Vault").field("key_ids", &ids).finish_non_exhaustive()
    }
}
