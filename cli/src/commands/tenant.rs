//! `trunkline tenant`: operators make and stop tenants, straight on the database.

mod delete;
mod update;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trunkline_api::saving;
use trunkline_boot::Settings;
use trunkline_domain::TenantId;
use trunkline_store::tenants::{self, Tenant, TenantStatus};
use trunkline_store::{Connection, Purpose, audit, time};

use crate::failure::Failure;
use crate::input::ChosenSecret;
use crate::operator::{OperatorOptions, block_on, connect, record, vault};
use crate::output::{Output, table};
use crate::provision::create_tenant;

/// Tenants read at a time.
const PAGE: i64 = 500;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    operator: OperatorOptions,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a tenant with its endpoint; prints its API key and webhook secret, this once
    Create {
        /// 3 to 50 characters of a-z, 0-9 and '-'; never given a second time
        tenant_id: TenantId,
        /// Where its events are delivered
        #[arg(long, value_name = "URL")]
        target_url: String,
        #[command(flatten)]
        secret: ChosenSecret,
    },
    /// List the tenants that are not deleted
    List,
    /// Show one tenant
    Show {
        /// Which one
        tenant_id: TenantId,
    },
    /// Change a tenant; what is not named stays
    Update {
        /// Which one
        tenant_id: TenantId,
        #[command(flatten)]
        change: update::Change,
    },
    /// Stop a tenant from publishing; its deliveries wait
    Suspend {
        /// Which one
        tenant_id: TenantId,
    },
    /// Delete a tenant for good: keys, endpoints, secrets, open deliveries and payloads; its history and its id stay taken
    Delete {
        /// Which one
        tenant_id: TenantId,
        /// Yes, for good
        #[arg(long, required = true)]
        yes: bool,
    },
    /// Let a suspended tenant publish again
    Resume {
        /// Which one
        tenant_id: TenantId,
    },
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let settings = options.operator.settings(*output)?;
    // Deleting goes through what may be millions of rows, in batches.
    let purpose =
        if matches!(options.action, Action::Delete { .. }) { Purpose::Search } else { Purpose::Request };
    block_on(async {
        let mut connection = connect(&settings, purpose).await?;
        let connection = &mut connection;
        match &options.action {
            Action::Create { tenant_id, target_url, secret } => {
                create(connection, &settings, tenant_id, (target_url, secret), *output).await
            }
            Action::List => list(connection, *output).await,
            Action::Suspend { tenant_id } => {
                set_status(connection, tenant_id, TenantStatus::Suspended, *output).await
            }
            Action::Show { tenant_id } => {
                let found = tenants::find(connection, tenant_id).await?;
                tell(&found.ok_or_else(|| no_tenant(tenant_id))?, *output)
            }
            Action::Update { tenant_id, change } => {
                update::run(connection, &settings, tenant_id, change, *output).await
            }
            Action::Delete { tenant_id, .. } => delete::run(connection, tenant_id, *output).await,
            Action::Resume { tenant_id } => {
                set_status(connection, tenant_id, TenantStatus::Active, *output).await
            }
        }
    })
}

async fn create(
    connection: &mut Connection,
    settings: &Settings,
    tenant_id: &TenantId,
    (target_url, secret): (&str, &ChosenSecret),
    output: Output,
) -> anyhow::Result<()> {
    saving::new_tenant(tenant_id).map_err(Failure::Usage)?;
    let target_url = saving::target_url(settings, target_url).map_err(Failure::Usage)?;
    let secret = secret.read()?;
    let secret = saving::webhook_secret(secret.as_deref().map(String::as_str)).map_err(Failure::Usage)?;
    let vault = vault(settings)?;
    let mut transaction = trunkline_store::begin(connection).await?;
    let made = create_tenant(&mut transaction, &vault, tenant_id, &target_url, secret, "first").await?;
    let Some(made) = made else {
        bail!("there is, or was, a tenant {tenant_id}; an id is never given a second time");
    };
    record(&mut transaction, audit::Action::CreateTenant, tenant_id, None).await?;
    transaction.commit().await?;
    let value = json!({
        "tenant_id": tenant_id,
        "target_url": target_url,
        "endpoint_id": made.endpoint_id,
        "api_key": made.api_key.expose(),
        "webhook_secret": made.webhook_secret.as_str(),
    });
    output.result(&value, || {
        format!(
            "created {tenant_id}; key and secret are shown only now\n\
             api_key         {}\nwebhook_secret  {}\nendpoint_id     {}",
            made.api_key.expose(),
            made.webhook_secret.as_str(),
            made.endpoint_id
        )
    })
}

async fn list(connection: &mut Connection, output: Output) -> anyhow::Result<()> {
    let mut found: Vec<Tenant> = Vec::new();
    loop {
        let after = found.last().map(|tenant| tenant.tenant_id.clone());
        let page = tenants::list(connection, after.as_ref(), PAGE).await?;
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    let value: Vec<Value> = found.iter().map(to_json).collect();
    output.result(&json!({"tenants": value}), || {
        let rows: Vec<[String; 4]> = found
            .iter()
            .map(|tenant| {
                [
                    tenant.tenant_id.to_string(),
                    tenant.status.as_str().to_owned(),
                    tenant.created_at.format("%Y-%m-%d %H:%M").to_string(),
                    tenant.target_url.clone().unwrap_or_else(|| "-".to_owned()),
                ]
            })
            .collect();
        table(["TENANT", "STATUS", "CREATED (UTC)", "TARGET"], &rows)
    })
}

fn tell(tenant: &Tenant, output: Output) -> anyhow::Result<()> {
    output.answer(&to_json(tenant))
}

fn to_json(tenant: &Tenant) -> Value {
    json!({
        "tenant_id": tenant.tenant_id,
        "status": tenant.status.as_str(),
        "lane": tenant.lane.number(),
        "endpoint_id": tenant.default_endpoint_id,
        "target_url": tenant.target_url,
        "retention_days": tenant.retention_days,
        "rate_per_second": tenant.rate_per_second,
        "burst": tenant.burst,
        "created_at": tenant.created_at,
        "updated_at": tenant.updated_at,
    })
}

fn no_tenant(tenant_id: &TenantId) -> Failure {
    Failure::NotFound(format!("there is no tenant {tenant_id}"))
}

async fn set_status(
    connection: &mut Connection,
    tenant_id: &TenantId,
    status: TenantStatus,
    output: Output,
) -> anyhow::Result<()> {
    let mut transaction = trunkline_store::begin(connection).await?;
    let now = time::now(&mut transaction).await?;
    if !tenants::set_status(&mut transaction, tenant_id, status, now).await? {
        return Err(no_tenant(tenant_id).into());
    }
    let is_active = status == TenantStatus::Active;
    let action = if is_active { audit::Action::ResumeTenant } else { audit::Action::SuspendTenant };
    record(&mut transaction, action, tenant_id, None).await?;
    transaction.commit().await?;
    let value = json!({"tenant_id": tenant_id, "status": status.as_str()});
    output.result(&value, || format!("{tenant_id} is {}", status.as_str()))
}
