//! `trunkline key`: operators make and revoke tenants' API keys, straight on the database.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trunkline_domain::{KeyId, TenantId};
use trunkline_store::api_keys::{self, KeyInfo};
use trunkline_store::tenants::{self, TenantStatus};
use trunkline_store::{Connection, Purpose, audit, time};

use crate::failure::Failure;
use crate::operator::{OperatorOptions, block_on, connect, record};
use crate::output::{Output, table};
use crate::provision::{KeyWish, create_key};

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    operator: OperatorOptions,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a key and print it, this once
    Create {
        /// Whose key
        tenant_id: TenantId,
        /// What it is for, 1 to 100 characters
        #[arg(long, default_value = "cli", value_parser = name)]
        name: String,
        /// It may look, but neither publish nor change anything
        #[arg(long)]
        read_only: bool,
        /// It may publish and change things, but look at nothing
        #[arg(long, conflicts_with = "read_only")]
        write_only: bool,
        /// How long it is good for, such as 90days; else until it is revoked
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        expires_in: Option<Duration>,
    },
    /// List a tenant's keys, revoked ones too; never the keys themselves
    List {
        /// Whose keys
        tenant_id: TenantId,
    },
    /// Revoke a key: every api process refuses it within 5 seconds
    Revoke {
        /// Whose key
        tenant_id: TenantId,
        /// The key's id, as `trunkline key list` shows it
        key_id: KeyId,
    },
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let settings = options.operator.settings(*output)?;
    block_on(async {
        let mut connection = connect(&settings, Purpose::Request).await?;
        let (Action::Create { tenant_id, .. }
        | Action::List { tenant_id }
        | Action::Revoke { tenant_id, .. }) = &options.action;
        require_tenant(&mut connection, tenant_id).await?;
        match &options.action {
            Action::Create { tenant_id, name, read_only, write_only, expires_in } => {
                let wish = KeyWish {
                    name,
                    may_read: !write_only,
                    may_write: !read_only,
                    expires_at: expiry(&mut connection, *expires_in).await?,
                };
                create(&mut connection, tenant_id, &wish, *output).await
            }
            Action::List { tenant_id } => {
                let keys = api_keys::list(&mut connection, tenant_id).await?;
                let values: Vec<Value> = keys.iter().map(to_json).collect();
                output.result(&json!({"keys": values}), || {
                    let rows: Vec<[String; 6]> = keys.iter().map(to_row).collect();
                    table(["KEY ID", "BEGINS", "NAME", "SCOPES", "LAST USED (UTC)", "STATE"], &rows)
                })
            }
            Action::Revoke { tenant_id, key_id } => {
                revoke(&mut connection, tenant_id, *key_id, *output).await
            }
        }
    })
}

async fn require_tenant(connection: &mut Connection, tenant_id: &TenantId) -> anyhow::Result<()> {
    let found = tenants::find(connection, tenant_id).await?;
    if found.is_some_and(|tenant| tenant.status != TenantStatus::Deleted) {
        return Ok(());
    }
    Err(Failure::NotFound(format!("there is no tenant {tenant_id}")).into())
}

async fn expiry(
    connection: &mut Connection,
    expires_in: Option<Duration>,
) -> anyhow::Result<Option<DateTime<Utc>>> {
    let Some(expires_in) = expires_in else {
        return Ok(None);
    };
    let now = time::now(connection).await?;
    let end = chrono::Duration::from_std(expires_in).ok().and_then(|wait| now.checked_add_signed(wait));
    end.map(Some).ok_or_else(|| Failure::Usage("--expires-in is too long".to_owned()).into())
}

async fn create(
    connection: &mut Connection,
    tenant_id: &TenantId,
    wish: &KeyWish<'_>,
    output: Output,
) -> anyhow::Result<()> {
    let mut transaction = trunkline_store::begin(connection).await?;
    let (key, key_id) = create_key(&mut transaction, tenant_id, wish).await?;
    record(&mut transaction, audit::Action::CreateKey, tenant_id, Some(key_id.to_string())).await?;
    transaction.commit().await?;
    let value = json!({
        "tenant_id": tenant_id,
        "key_id": key_id,
        "name": wish.name,
        "api_key": key.expose(),
        "scopes": wish.scopes(),
        "expires_at": wish.expires_at,
    });
    output.result(&value, || {
        format!(
            "created for {tenant_id}; the key is shown only now\napi_key  {}\nkey_id   {key_id}",
            key.expose()
        )
    })
}

async fn revoke(
    connection: &mut Connection,
    tenant_id: &TenantId,
    key_id: KeyId,
    output: Output,
) -> anyhow::Result<()> {
    let mut transaction = trunkline_store::begin(connection).await?;
    let now = time::now(&mut transaction).await?;
    let revoked = api_keys::revoke(&mut transaction, tenant_id, key_id, now).await?;
    if revoked.is_none_or(|revoked| revoked.was_revoked) {
        let reason = format!("{tenant_id} has no key {key_id}, or it was revoked before");
        return Err(Failure::NotFound(reason).into());
    }
    record(&mut transaction, audit::Action::RevokeKey, tenant_id, Some(key_id.to_string())).await?;
    transaction.commit().await?;
    output.result(&json!({"key_id": key_id, "revoked_at": now}), || {
        format!("revoked {key_id}; it is refused everywhere within 5 seconds")
    })
}

fn to_json(key: &KeyInfo) -> Value {
    json!({
        "key_id": key.key_id,
        "prefix": key.prefix,
        "name": key.name,
        "scopes": key.scopes,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    })
}

fn to_row(key: &KeyInfo) -> [String; 6] {
    let minute = |time: &DateTime<Utc>| time.format("%Y-%m-%d %H:%M").to_string();
    let state = match (&key.revoked_at, &key.expires_at) {
        (Some(revoked), _) => format!("revoked {}", minute(revoked)),
        (None, Some(expires)) => format!("until {}", minute(expires)),
        (None, None) => "valid".to_owned(),
    };
    [
        key.key_id.to_string(),
        format!("{}...", key.prefix),
        key.name.clone(),
        key.scopes.join(","),
        key.last_used_at.as_ref().map_or_else(|| "never".to_owned(), minute),
        state,
    ]
}

fn name(text: &str) -> Result<String, &'static str> {
    if (1..=100).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err("accepts 1 to 100 characters")
    }
}
