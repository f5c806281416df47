//! A tenant's own keys.

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod revoke;

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_domain::KeyId;
use trunkline_store::api_keys::KeyInfo;
use utoipa::ToSchema;

/// A key, without the key itself.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(crate) struct Key {
    #[schema(value_type = String, example = "key_01a20ada2c007abc8123456789abcdef")]
    key_id: KeyId,
    /// What it is for.
    name: String,
    /// Its first characters.
    #[schema(example = "tl_3qYbV0x")]
    prefix: String,
    /// read, write
    scopes: Vec<String>,
    created_at: DateTime<Utc>,
    /// From when on it is refused; null = never.
    expires_at: Option<DateTime<Utc>>,
    /// When it was revoked; null = it was not.
    revoked_at: Option<DateTime<Utc>>,
    /// Written down at most once a minute; null = never.
    last_used_at: Option<DateTime<Utc>>,
}

impl From<KeyInfo> for Key {
    fn from(key: KeyInfo) -> Self {
        Self {
            key_id: key.key_id,
            name: key.name,
            prefix: key.prefix,
            scopes: key.scopes,
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
        }
    }
}
