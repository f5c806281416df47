//! The keys of a house: made once, kept in its folder, so that a later start opens what this one sealed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use trunkline_boot::random::random_bytes;
use trunkline_boot::settings::SecretsKey;
use trunkline_domain::TenantId;
use trunkline_vault::ApiKey;
use zeroize::Zeroizing;

use crate::private_files;

/// What only this folder knows. The database has hashes of the keys, and secrets that only `secrets_key` opens.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// Seals secrets at rest: base64 of 32 bytes.
    secrets_key: String,
    /// Opens operator routes.
    pub(super) operator_key: String,
    /// The tenants' keys as they were issued.
    #[serde(default)]
    pub(super) api_keys: BTreeMap<TenantId, String>,
}

impl Credentials {
    /// New ones, kept nowhere yet.
    pub(super) fn generate() -> Self {
        Self {
            secrets_key: STANDARD.encode(random_bytes::<32>()),
            operator_key: ApiKey::from_random(random_bytes()).expose().replacen("tl_", "op_", 1),
            api_keys: BTreeMap::new(),
        }
    }

    /// Those of the folder; new ones, kept there from now on, if it has none.
    ///
    /// # Errors
    /// The file is damaged or cannot be written.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        if let Some(found) = Self::read(folder)? {
            return Ok(found);
        }
        let made = Self::generate();
        made.save(folder)?;
        Ok(made)
    }

    /// Those of the folder, if it has any.
    ///
    /// # Errors
    /// The file is damaged or cannot be read.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Option<Self>> {
        let path = path(folder);
        let Some(text) = private_files::read(&path)? else {
            return Ok(None);
        };
        // The parser's error would quote the file.
        let found = serde_json::from_str(&text).ok().with_context(|| {
            format!("{} is damaged; restore it, or remove it to start with new keys", path.display())
        })?;
        Ok(Some(found))
    }

    /// Keeps them, readable by their owner alone.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn save(&self, folder: &Path) -> anyhow::Result<()> {
        private_files::replace(&path(folder), &serde_json::to_string_pretty(self)?)
    }

    /// The key that seals secrets, as the settings hold it.
    ///
    /// # Errors
    /// It is damaged.
    pub(crate) fn secrets_key(&self) -> anyhow::Result<SecretsKey> {
        let bytes = STANDARD.decode(&self.secrets_key).map(Zeroizing::new).ok();
        let key = bytes.as_deref().and_then(|bytes| bytes.as_array::<32>());
        let key = key.context("the secrets_key in credentials.json is not base64 of 32 bytes")?;
        Ok(SecretsKey::new("dev".to_owned(), key))
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("credentials.json")
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}
