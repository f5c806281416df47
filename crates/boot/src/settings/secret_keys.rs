//! Keys that are secrets: they are checked for strength and never repeated in an error.

use super::reader::Reader;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretBox, SecretString};

/// A key that seals secrets at rest, written `id:base64(32 bytes)`.
#[derive(Debug)]
pub struct SecretsKey {
    /// Names the key in what it sealed: 1-32 characters of `a-z0-9_-`, unique.
    pub id: String,
    /// The 256-bit key.
    pub key: SecretBox<[u8; 32]>,
}

impl SecretsKey {
    /// Copies a key to where it is overwritten when it is dropped.
    #[must_use]
    pub fn new(id: String, key: &[u8; 32]) -> Self {
        Self { id, key: SecretBox::init_with_mut(|kept: &mut [u8; 32]| kept.copy_from_slice(key)) }
    }

    /// Id and key, as a vault takes them.
    #[must_use]
    pub fn as_pair(&self) -> (&str, &[u8; 32]) {
        (&self.id, self.key.expose_secret())
    }
}

impl Clone for SecretsKey {
    fn clone(&self) -> Self {
        Self::new(self.id.clone(), self.key.expose_secret())
    }
}

/// Shorter operator keys are refused: they could be guessed within the rate limit on failed logins.
const OPERATOR_KEY_CHARACTERS_MIN: usize = 16;

pub(super) fn operator_keys(reader: &mut Reader) -> Vec<SecretString> {
    reader.secret_list("operator.keys", "accepts keys of 16 or more visible characters", |entry| {
        if entry.chars().count() < OPERATOR_KEY_CHARACTERS_MIN {
            return Err("is too short");
        }
        if !entry.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("has characters that cannot be sent in a header");
        }
        Ok(SecretString::from(entry))
    })
}

pub(super) fn secrets_keys(reader: &mut Reader) -> Vec<SecretsKey> {
    let accepts = "accepts id:key, where id is 1-32 characters of a-z 0-9 _ - and key is 32 bytes in base64";
    let keys = reader.secret_list("secrets.keys", accepts, parse);
    let repeated =
        keys.iter().enumerate().find(|(index, key)| keys[..*index].iter().any(|other| other.id == key.id));
    if let Some((index, _)) = repeated {
        reader.refuse_secret(
            "secrets.keys",
            format!("{accepts}; entry {} repeats the id of another", index + 1),
        );
    }
    keys
}

fn parse(entry: &str) -> Result<SecretsKey, &'static str> {
    let (id, encoded) = entry.split_once(':').ok_or("has no colon")?;
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    if !(1..=32).contains(&id.len()) || !id.bytes().all(allowed) {
        return Err("has an id that is not 1-32 characters of a-z 0-9 _ -");
    }
    let decoded = STANDARD.decode(encoded).map_err(|_| "has a key that is not padded base64")?;
    let decoded = Zeroizing::new(decoded);
    let key = decoded.as_array::<32>().ok_or("has a key that is not 32 bytes long")?;
    Ok(SecretsKey::new(id.to_owned(), key))
}
