//! `dev.json`: how scripts find a running house. Its form is a promise to them.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::private_files;

/// Everything a script needs to use the house, secrets included: mode 0600.
#[derive(Serialize, Deserialize)]
pub(crate) struct DevFile {
    /// Such as `http://127.0.0.1:8080`.
    pub(crate) api_url: String,
    /// Such as `http://127.0.0.1:8081`.
    pub(crate) receiver_url: String,
    /// Such as `http://127.0.0.1:8082`.
    pub(crate) admin_url: String,
    /// With user and password.
    pub(crate) database_url: String,
    /// Opens operator routes.
    pub(crate) operator_key: String,
    /// `test-tenant`, `acme`, `globex`.
    pub(crate) tenants: Vec<DevTenant>,
}

/// A tenant that is ready to publish.
#[derive(Serialize, Deserialize)]
pub(crate) struct DevTenant {
    /// Its name.
    pub(crate) tenant_id: String,
    /// With both scopes.
    pub(crate) api_key: String,
    /// What its deliveries are signed with.
    pub(crate) webhook_secret: String,
    /// Its endpoint `default`.
    pub(crate) endpoint_id: String,
}

impl DevFile {
    /// That of the folder, if a house was started there.
    ///
    /// # Errors
    /// It is damaged or cannot be read.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Option<Self>> {
        let path = path(folder);
        let Some(text) = private_files::read(&path)? else {
            return Ok(None);
        };
        let found = serde_json::from_str(&text)
            .ok()
            .with_context(|| format!("{} is damaged; start `trunkline dev` again", path.display()))?;
        Ok(Some(found))
    }

    /// Writes it in one step, readable by its owner alone.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        private_files::replace(&path(folder), &format!("{}\n", serde_json::to_string(self)?))
    }

    /// Removes it if it is there.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub(super) fn remove(folder: &Path) -> anyhow::Result<()> {
        let path = path(folder);
        private_files::remove(&path).with_context(|| format!("{} cannot be removed", path.display()))
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("dev.json")
}

impl fmt::Debug for DevFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevFile").field("api_url", &self.api_url).finish_non_exhaustive()
    }
}
