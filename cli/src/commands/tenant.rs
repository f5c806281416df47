//! `trunkline tenant`: operators make and stop tenants, straight on the database.

use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trunkline_domain::TenantId;
use trunkline_store::tenants::{self, Tenant, TenantStatus};
use trunkline_store::{Connection, Purpose, audit, time};

use crate::failure::Failure;
use crate::operator::{OperatorOptions, block_on, connect, record, vault};
use crate::output::{Output, table};
use crate::provision::create_tenant;
use crate::target_url::target_url;

/// Tenants read at a time.
const PAGE: i64 = 500;

/// Deliveries and payloads settled in one transaction.
const DELETED_AT_A_TIME: i64 = 1_000;

/// Until then an api may still take an event in, because it saw the key lately.
const KEYS_REFUSED_AFTER: chrono::Duration = chrono::Duration::seconds(6);

const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);

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
        /// Where its events are delivered; the worker checks the address at every attempt
        #[arg(long, value_name = "URL", value_parser = target_url)]
        target_url: String,
    },
    /// List the tenants that are not deleted
    List,
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
    /// Keep a tenant's events for so many days only: older ones are hidden at once and then erased
    Retain {
        /// Which one
        tenant_id: TenantId,
        /// 1 to 3650; without, its events are kept as long as all are
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(i32).range(1..=3650))]
        days: Option<i32>,
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
            Action::Create { tenant_id, target_url } => {
                let vault = vault(&settings)?;
                let mut transaction = trunkline_store::begin(connection).await?;
                let made = create_tenant(&mut transaction, &vault, tenant_id, target_url, "first").await?;
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
            Action::List => list(connection, *output).await,
            Action::Suspend { tenant_id } => {
                set_status(connection, tenant_id, TenantStatus::Suspended, *output).await
            }
            Action::Delete { tenant_id, .. } => delete(connection, tenant_id, *output).await,
            Action::Retain { tenant_id, days } => retain(connection, tenant_id, *days, *output).await,
            Action::Resume { tenant_id } => {
                set_status(connection, tenant_id, TenantStatus::Active, *output).await
            }
        }
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
    let value: Vec<Value> = found
        .iter()
        .map(|tenant| {
            json!({
                "tenant_id": tenant.tenant_id,
                "status": tenant.status.as_str(),
                "lane": tenant.lane.number(),
                "endpoint_id": tenant.default_endpoint_id,
                "target_url": tenant.target_url,
                "retention_days": tenant.retention_days,
                "created_at": tenant.created_at,
                "updated_at": tenant.updated_at,
            })
        })
        .collect();
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

async fn set_status(
    connection: &mut Connection,
    tenant_id: &TenantId,
    status: TenantStatus,
    output: Output,
) -> anyhow::Result<()> {
    let mut transaction = trunkline_store::begin(connection).await?;
    let now = time::now(&mut transaction).await?;
    if !tenants::set_status(&mut transaction, tenant_id, status, now).await? {
        return Err(Failure::NotFound(format!("there is no tenant {tenant_id}")).into());
    }
    let is_active = status == TenantStatus::Active;
    let action = if is_active { audit::Action::ResumeTenant } else { audit::Action::SuspendTenant };
    record(&mut transaction, action, tenant_id, None).await?;
    transaction.commit().await?;
    let value = json!({"tenant_id": tenant_id, "status": status.as_str()});
    output.result(&value, || format!("{tenant_id} is {}", status.as_str()))
}

async fn retain(
    connection: &mut Connection,
    tenant_id: &TenantId,
    days: Option<i32>,
    output: Output,
) -> anyhow::Result<()> {
    let mut transaction = trunkline_store::begin(connection).await?;
    let now = time::now(&mut transaction).await?;
    if !tenants::set_retention(&mut transaction, tenant_id, days, now).await? {
        return Err(Failure::NotFound(format!("there is no tenant {tenant_id}")).into());
    }
    record(&mut transaction, audit::Action::ChangeTenant, tenant_id, None).await?;
    transaction.commit().await?;
    output.result(&json!({"tenant_id": tenant_id, "retention_days": days}), || match days {
        Some(days) => format!("events of {tenant_id} are kept for {days} days"),
        None => format!("events of {tenant_id} are kept as long as all are"),
    })
}

/// Goes on until nothing is left, which is when no api can believe a key of the tenant any more.
async fn delete(connection: &mut Connection, tenant_id: &TenantId, output: Output) -> anyhow::Result<()> {
    let mut transaction = trunkline_store::begin(connection).await?;
    let now = time::now(&mut transaction).await?;
    let ended = tenants::end(&mut transaction, tenant_id, now).await?;
    let ended = ended.ok_or_else(|| Failure::NotFound(format!("there never was a tenant {tenant_id}")))?;
    // A second time it goes on with what was begun.
    if ended.deleted_at.timestamp_micros() == now.timestamp_micros() {
        record(&mut transaction, audit::Action::DeleteTenant, tenant_id, None).await?;
    }
    transaction.commit().await?;
    let (mut deliveries, mut payloads) = (0, 0);
    loop {
        let now = time::now(connection).await?;
        let (cancelled, erased) =
            tenants::clear(connection, ended.lane, tenant_id, DELETED_AT_A_TIME, now).await?;
        deliveries += cancelled;
        payloads += erased;
        output.ticker(&format!("{deliveries} deliveries cancelled, {payloads} payloads erased"));
        if cancelled.max(erased) > 0 {
            continue;
        }
        if now >= ended.deleted_at + KEYS_REFUSED_AFTER {
            break;
        }
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    }
    output.ticker("");
    let value = json!({
        "tenant_id": tenant_id,
        "status": TenantStatus::Deleted.as_str(),
        "keys_revoked": ended.keys.len(),
        "endpoints_deleted": ended.endpoints,
        "deliveries_cancelled": deliveries,
        "payloads_erased": payloads,
    });
    output.result(&value, || {
        format!(
            "{tenant_id} is DELETED: {} keys, {} endpoints, {deliveries} open deliveries, {payloads} payloads",
            ended.keys.len(),
            ended.endpoints
        )
    })
}
