//! Which api a command calls, and as whom.

use std::path::PathBuf;

use clap::Args;

use crate::api_client::Client;
use crate::dev::DevFile;
use crate::failure::Failure;

/// Where the api is when nothing else tells.
const DEFAULT_API_URL: &str = "http://127.0.0.1:8080";

/// Which api, and as whom.
#[derive(Debug, Args)]
pub(crate) struct ApiOptions {
    /// Where the api is; else that of a running `trunkline dev`, else http://127.0.0.1:8080
    #[arg(long, global = true, env = "TRUNKLINE_API_URL", value_name = "URL")]
    api_url: Option<String>,
    /// The tenant's key; else that of --tenant in a running `trunkline dev`
    #[arg(long, global = true, env = "TRUNKLINE_API_KEY", value_name = "KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Whose key to take from `trunkline dev`
    #[arg(long, global = true, value_name = "TENANT", default_value = "test-tenant")]
    tenant: String,
    /// Where `trunkline dev` keeps its dev.json
    #[arg(long, global = true, value_name = "FOLDER", default_value = crate::dev::DEFAULT_FOLDER)]
    data_dir: PathBuf,
}

impl ApiOptions {
    /// A client for the api and the tenant that were asked for.
    ///
    /// # Errors
    /// [`Failure::Usage`] where no key is known.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        if let Some(key) = &self.api_key {
            let dev = || DevFile::read(&self.data_dir);
            let url = match &self.api_url {
                Some(url) => url.clone(),
                None => dev()?.map_or_else(|| DEFAULT_API_URL.to_owned(), |dev| dev.api_url),
            };
            return Client::new(&url, Some(key));
        }
        let dev = DevFile::read(&self.data_dir)?.ok_or_else(|| {
            Failure::Usage(
                "no API key: give --api-key or TRUNKLINE_API_KEY, or start `trunkline dev` in this folder"
                    .to_owned(),
            )
        })?;
        // A key is only for the api that issued it.
        if self.api_url.as_ref().is_some_and(|url| url.trim_end_matches('/') != dev.api_url) {
            let reason =
                "--api-url is not that of `trunkline dev`: give --api-key or TRUNKLINE_API_KEY with it";
            return Err(Failure::Usage(reason.to_owned()).into());
        }
        let tenant = dev.tenants.iter().find(|tenant| tenant.tenant_id == self.tenant).ok_or_else(|| {
            let known: Vec<&str> = dev.tenants.iter().map(|tenant| tenant.tenant_id.as_str()).collect();
            let reason = format!(
                "`trunkline dev` has no tenant {}; it has {}; for another give --api-key",
                self.tenant,
                known.join(", ")
            );
            Failure::Usage(reason)
        })?;
        Client::new(&dev.api_url, Some(&tenant.api_key))
    }
}
