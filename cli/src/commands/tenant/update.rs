use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use trunkline_api::saving::{self, ROTATION_OVERLAP};
use trunkline_boot::Settings;
use trunkline_domain::TenantId;
use trunkline_store::tenants::{self, DefaultEndpointChange, RateChange, Tenant, TenantStatus};
use trunkline_store::{Connection, audit, time};
use zeroize::Zeroizing;

use super::{no_tenant, tell};
use crate::failure::Failure;
use crate::input::ChosenSecret;
use crate::operator::{record, vault};
use crate::output::Output;
use crate::provision::{seal, stored};

/// What can be changed of a tenant; what is not named stays.
#[derive(Debug, Args)]
pub(super) struct Change {
    /// Where the events of its endpoint `default` are delivered from now on
    #[arg(long, value_name = "URL")]
    target_url: Option<String>,
    #[command(flatten)]
    secret: ChosenSecret,
    /// Keep its events for so many days only, 1 to 3650: older ones are hidden at once and then erased
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(i32).range(1..=3650))]
    retention_days: Option<i32>,
    /// It may publish so many events a second, 0 to 1000000; 0 = no limit
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    rate_per_second: Option<u32>,
    /// It may publish so many events at once, 1 to 1000000
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    burst: Option<u32>,
    /// Back to the installation's default; may be repeated
    #[arg(long, value_enum, value_name = "SETTING", value_delimiter = ',')]
    default: Vec<Setting>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Setting {
    RetentionDays,
    RatePerSecond,
    Burst,
}

impl Change {
    /// `None` = it stays, `Some(None)` = back to the default.
    fn of<T: Copy>(&self, setting: Setting, value: Option<T>) -> anyhow::Result<Option<Option<T>>> {
        match (self.default.contains(&setting), value) {
            (true, Some(_)) => {
                Err(Failure::Usage("a setting is given a value and --default".to_owned()).into())
            }
            (true, None) => Ok(Some(None)),
            (false, value) => Ok(value.map(Some)),
        }
    }
}

pub(super) async fn run(
    connection: &mut Connection,
    settings: &Settings,
    tenant_id: &TenantId,
    change: &Change,
    output: Output,
) -> anyhow::Result<()> {
    let url = change.target_url.as_deref().map(|text| saving::target_url(settings, text)).transpose();
    let url = url.map_err(Failure::Usage)?;
    let secret = change.secret.read()?;
    let secret = secret.map(|chosen| saving::webhook_secret(Some(&chosen))).transpose();
    let secret = secret.map_err(Failure::Usage)?;
    let retention = change.of(Setting::RetentionDays, change.retention_days)?;
    let rate = RateChange {
        rate_per_second: change.of(Setting::RatePerSecond, change.rate_per_second)?,
        burst: change.of(Setting::Burst, change.burst)?,
    };
    if url.is_none() && secret.is_none() && retention.is_none() && rate == RateChange::default() {
        return Err(Failure::Usage("nothing to change: name a setting; --help lists them".to_owned()).into());
    }
    let mut transaction = trunkline_store::begin(connection).await?;
    let now = time::now(&mut transaction).await?;
    let found = tenants::find(&mut transaction, tenant_id).await?;
    let tenant =
        found.filter(|tenant| tenant.status != TenantStatus::Deleted).ok_or_else(|| no_tenant(tenant_id))?;
    if url.is_some() || secret.is_some() {
        change_default_endpoint(&mut transaction, settings, &tenant, (url, secret), now).await?;
    }
    if let Some(days) = retention {
        tenants::set_retention(&mut transaction, tenant_id, days, now).await?;
    }
    if rate != RateChange::default() {
        tenants::set_rate(&mut transaction, tenant_id, rate, now).await?;
    }
    record(&mut transaction, audit::Action::ChangeTenant, tenant_id, None).await?;
    let changed = tenants::find(&mut transaction, tenant_id).await?.ok_or_else(|| no_tenant(tenant_id))?;
    transaction.commit().await?;
    tell(&changed, output)
}

async fn change_default_endpoint(
    connection: &mut Connection,
    settings: &Settings,
    tenant: &Tenant,
    (url, secret): (Option<String>, Option<Zeroizing<String>>),
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    let tenant_id = &tenant.tenant_id;
    let missing = || Failure::NotFound(format!("{tenant_id} has no endpoint named default"));
    let endpoint_id = tenant.default_endpoint_id.ok_or_else(missing)?;
    let sealed = match &secret {
        Some(secret) => Some(seal(&vault(settings)?, tenant_id, endpoint_id, secret)?),
        None => None,
    };
    let change = DefaultEndpointChange {
        url: url.as_deref(),
        secret: sealed.as_ref().map(|sealed| stored(sealed, now)),
        old_secrets_valid_until: Some(now + ROTATION_OVERLAP),
    };
    let found = tenants::update_default_endpoint(connection, tenant_id, endpoint_id, &change, now).await?;
    if found { Ok(()) } else { Err(missing().into()) }
}
