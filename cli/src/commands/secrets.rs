//! `trunkline secrets`: what is sealed under which key, and sealing it again under the first of `secrets.keys`.

use std::collections::BTreeMap;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::json;
use trunkline_boot::random::random_bytes;
use trunkline_domain::TenantId;
use trunkline_store::endpoints::{
    self, EndpointPlace, SecretPlace, StaleHeaders, count_by_key, lock_stale_headers, lock_stale_secrets,
};
use trunkline_store::{PgConnection, Purpose, audit, begin};
use trunkline_vault::{Sealed, Vault, VaultError};

use crate::failure::Failure;
use crate::operator::{OperatorOptions, block_on, connect, record, vault};
use crate::output::{Output, table};
use crate::sealing_keys::{SealingKey, sealing_keys};

#[derive(Debug, Args)]
#[command(after_help = "docs/SECURITY.md has the steps of a rotation.")]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    operator: OperatorOptions,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show how much is sealed under which key, and which keys nothing needs any more
    Status,
    /// Seal everything again under the first of secrets.keys, beside running doors
    #[command(after_help = "May be stopped at any time; run again, it goes on with what is left.")]
    Reencrypt {
        /// Rows that are locked and written at one time
        #[arg(long, value_name = "ROWS", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        batch: u16,
    },
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let settings = options.operator.settings(*output)?;
    let vault = vault(&settings)?;
    block_on(async {
        let mut connection = connect(&settings, Purpose::Search).await?;
        match options.action {
            Action::Status => {
                let keys = sealing_keys(&vault, count_by_key(&mut connection).await?);
                output.result(&json!({"keys": keys}), || describe(&keys))
            }
            Action::Reencrypt { batch } => reencrypt(&mut connection, &vault, batch.into(), *output).await,
        }
    })
}

fn describe(keys: &[SealingKey]) -> String {
    let rows: Vec<[String; 4]> = keys
        .iter()
        .map(|key| {
            let name = key.key_id.clone().unwrap_or_else(|| "(none)".to_owned());
            [name, key.secrets.to_string(), key.header_values.to_string(), key.state.describe().to_owned()]
        })
        .collect();
    table(["KEY", "SECRETS", "HEADER VALUES", "STATE"], &rows)
}

/// What came of sealing again.
#[derive(Default)]
struct Tally {
    sealed_again: u64,
    /// Why something could not be opened, and how often.
    failures: BTreeMap<String, u64>,
}

impl Tally {
    fn note_failure(&mut self, error: &VaultError) {
        *self.failures.entry(error.to_string()).or_default() += 1;
    }

    /// Counts what the transaction seals again. The first that does so writes down that this run does: no row for a run that found nothing.
    async fn note_sealed(
        &mut self,
        transaction: &mut PgConnection,
        vault: &Vault,
        count: u64,
    ) -> anyhow::Result<()> {
        if self.sealed_again == 0 && count > 0 {
            let key_id = Some(vault.sealing_key_id().to_owned());
            record(transaction, audit::Action::Reencrypt, None::<&TenantId>, key_id).await?;
        }
        self.sealed_again += count;
        Ok(())
    }

    fn show(&self, total: i64, output: Output) {
        output.ticker(&format!("{} of {total} sealed again", self.sealed_again));
    }
}

async fn reencrypt(
    connection: &mut PgConnection,
    vault: &Vault,
    batch: i64,
    output: Output,
) -> anyhow::Result<()> {
    let stale = |keys: &[SealingKey]| -> i64 {
        keys.iter().filter(|key| key.is_stale()).map(SealingKey::count).sum()
    };
    let total = stale(&sealing_keys(vault, count_by_key(connection).await?));
    let mut tally = Tally::default();
    let mut place = SecretPlace::default();
    while let Some(next) = reseal_secrets(connection, vault, &place, batch, &mut tally).await? {
        place = next;
        tally.show(total, output);
    }
    let mut place = EndpointPlace::default();
    while let Some(next) = reseal_headers(connection, vault, &place, batch, &mut tally).await? {
        place = next;
        tally.show(total, output);
    }
    output.ticker("");

    let keys = sealing_keys(vault, count_by_key(connection).await?);
    let not_opened: u64 = tally.failures.values().sum();
    let left = stale(&keys);
    let result = json!({
        "sealed_again": tally.sealed_again,
        "not_opened": not_opened,
        "left": left,
        "keys": keys,
    });
    output.result(&result, || {
        format!("{} sealed again under {}\n{}", tally.sealed_again, vault.sealing_key_id(), describe(&keys))
    })?;
    for (reason, count) in &tally.failures {
        output.progress(&format!("{count} not opened: {reason}"));
    }
    if not_opened > 0 {
        bail!(
            "{not_opened} could not be opened; put the missing keys back into secrets.keys and run this again"
        );
    }
    if left > 0 {
        let reason = format!("{left} were held by others or came in meanwhile; run this again");
        return Err(Failure::Unavailable(reason).into());
    }
    Ok(())
}

/// One transaction: up to `batch` secrets behind `after`. Returns where to go on; `None` at the end.
async fn reseal_secrets(
    connection: &mut PgConnection,
    vault: &Vault,
    after: &SecretPlace,
    batch: i64,
    tally: &mut Tally,
) -> anyhow::Result<Option<SecretPlace>> {
    let mut transaction = begin(connection).await?;
    let found = lock_stale_secrets(&mut transaction, vault.sealing_key_id(), after, batch).await?;
    let next = found.last().map(endpoints::StaleSecret::place);
    let mut resealed = Vec::with_capacity(found.len());
    for secret in found {
        let stored = &secret.sealed;
        let sealed = Sealed { key_id: stored.key_id.clone(), bytes: stored.sealed.clone() };
        match vault.reseal_secret(&secret.tenant_id, stored.endpoint_id, &sealed, random_bytes()) {
            Ok(Some(sealed)) => resealed.push((secret, sealed.bytes)),
            Ok(None) => {}
            Err(error) => tally.note_failure(&error),
        }
    }
    endpoints::replace_secrets(&mut transaction, vault.sealing_key_id(), &resealed).await?;
    tally.note_sealed(&mut transaction, vault, resealed.len() as u64).await?;
    transaction.commit().await.map_err(trunkline_store::StoreError::from)?;
    Ok(next)
}

/// One transaction: the headers of up to `batch` endpoints behind `after`. Returns where to go on; `None` at the end.
async fn reseal_headers(
    connection: &mut PgConnection,
    vault: &Vault,
    after: &EndpointPlace,
    batch: i64,
    tally: &mut Tally,
) -> anyhow::Result<Option<EndpointPlace>> {
    let mut transaction = begin(connection).await?;
    let mut found = lock_stale_headers(&mut transaction, vault.sealing_key_id(), after, batch).await?;
    let next = found.last().map(StaleHeaders::place);
    let mut sealed_again = 0;
    for endpoint in &mut found {
        let (tenant_id, endpoint_id) = (&endpoint.tenant_id, endpoint.endpoint_id);
        for (name, value) in &mut endpoint.headers {
            match vault.reseal_header(tenant_id, endpoint_id, name, value, random_bytes()) {
                Ok(Some(sealed)) => {
                    *value = sealed;
                    sealed_again += 1;
                }
                Ok(None) => {}
                // It stays as it is, beside those that could be opened.
                Err(error) => tally.note_failure(&error),
            }
        }
    }
    endpoints::replace_headers(&mut transaction, &found).await?;
    tally.note_sealed(&mut transaction, vault, sealed_again).await?;
    transaction.commit().await.map_err(trunkline_store::StoreError::from)?;
    Ok(next)
}
