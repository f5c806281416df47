//! What operators' commands share: settings, and a connection to the database.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use trunkline_boot::Settings;
use trunkline_boot::settings::SecretsKey;
use trunkline_domain::TenantId;
use trunkline_store::audit::{self, Action, Actor, Entry};
use trunkline_store::{Address, Connection, Purpose, pool, time};
use trunkline_vault::Vault;

use crate::dev::{Credentials, DevFile, allow_loopback};
use crate::failure::Failure;
use crate::output::Output;

/// A server that is there answers sooner; a firewall that swallows packets never does.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Whose settings.
#[derive(Debug, Args)]
pub(crate) struct OperatorOptions {
    /// A TOML file with settings; the environment (TRUNKLINE__SECTION__KEY, DATABASE_URL) is stronger
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where `trunkline dev` keeps its dev.json: its database is taken when database.url is not set
    #[arg(long, global = true, value_name = "FOLDER", default_value = crate::dev::DEFAULT_FOLDER)]
    data_dir: PathBuf,
}

impl OperatorOptions {
    /// The settings, completed by those of a running `trunkline dev` when no database is set.
    ///
    /// # Errors
    /// A setting is wrong, or no database is known.
    pub(crate) fn settings(&self, output: Output) -> anyhow::Result<Settings> {
        let mut settings = Settings::from_process(self.config.as_deref())?;
        self.complete(&mut settings, output)?;
        settings.require_database_url()?;
        Ok(settings)
    }

    fn complete(&self, settings: &mut Settings, output: Output) -> anyhow::Result<()> {
        if settings.database.url.is_some() {
            return Ok(());
        }
        let Some(dev) = DevFile::read(&self.data_dir)? else {
            return Ok(());
        };
        output.progress(&format!(
            "database.url is not set: using the database of `trunkline dev` in {}",
            self.data_dir.display()
        ));
        settings.database.url = Some(SecretString::from(dev.database_url));
        allow_loopback(settings);
        if settings.operator.keys.is_empty() {
            settings.operator.keys = vec![SecretString::from(dev.operator_key)];
        }
        if settings.secrets.keys.is_empty()
            && let Some(credentials) = Credentials::read(&self.data_dir)?
        {
            settings.secrets.keys = vec![credentials.secrets_key()?];
        }
        Ok(())
    }
}

/// One connection, outside any pool.
///
/// # Errors
/// [`Failure::Unavailable`] when the server does not answer within 5 s.
pub(crate) async fn connect(settings: &Settings, purpose: Purpose) -> anyhow::Result<Connection> {
    let url = settings.require_database_url()?.expose_secret();
    let address = Address::new(url, settings.database.is_pooled());
    match tokio::time::timeout(CONNECT_PATIENCE, pool::connect(address, purpose)).await {
        Ok(connected) => Ok(connected?),
        Err(_) => {
            let reason = format!("the database does not answer within {} s", CONNECT_PATIENCE.as_secs());
            Err(Failure::Unavailable(reason).into())
        }
    }
}

/// Writes into the audit that whoever logs in to the database did this, in the transaction that does it. Without a tenant, to all of them.
///
/// # Errors
/// When the database is not available.
pub(crate) async fn record<'a>(
    connection: &mut Connection,
    action: Action,
    tenant_id: impl Into<Option<&'a TenantId>>,
    target: Option<String>,
) -> anyhow::Result<()> {
    let entry = Entry { actor: &Actor::Login, action, tenant_id: tenant_id.into(), target, request_id: None };
    let now = time::now(connection).await?;
    Ok(audit::record(connection, entry, now).await?)
}

/// The vault that the settings' keys make.
///
/// # Errors
/// There are no keys, or they are no good.
pub(crate) fn vault(settings: &Settings) -> anyhow::Result<Vault> {
    Vault::new(settings.require_secrets_keys()?.iter().map(SecretsKey::as_pair))
        .map_err(|error| Failure::Usage(format!("secrets.keys: {error}")).into())
}

/// Runs a command that waits for a database.
///
/// # Errors
/// The command's own.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?
        .block_on(work)
}
