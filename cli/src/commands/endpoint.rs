//! `trunkline endpoint`: operators add endpoints, straight on the database.

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::json;
use trunkline_domain::TenantId;
use trunkline_store::{Purpose, audit, tenants};

use crate::failure::Failure;
use crate::operator::{OperatorOptions, block_on, connect, record, vault};
use crate::output::Output;
use crate::provision::create_endpoint;
use crate::target_url::target_url;

/// The longest name, in characters, as the table has it.
const NAME_CHARS_MAX: usize = 100;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    operator: OperatorOptions,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add an endpoint that gets the tenant's events from now on; prints its webhook secret, this once
    Add {
        /// Whose it is
        tenant_id: TenantId,
        /// 1 to 100 characters, unique among the tenant's endpoints
        #[arg(value_parser = name)]
        name: String,
        /// Where events are delivered; the worker checks the address at every attempt
        #[arg(value_parser = target_url)]
        url: String,
    },
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let settings = options.operator.settings(*output)?;
    let Action::Add { tenant_id, name, url } = &options.action;
    block_on(async {
        let mut connection = connect(&settings, Purpose::Request).await?;
        let vault = vault(&settings)?;
        if tenants::find(&mut connection, tenant_id).await?.is_none() {
            return Err(Failure::NotFound(format!("there is no tenant {tenant_id}")).into());
        }
        let mut transaction = trunkline_store::begin(&mut connection).await?;
        let made = create_endpoint(&mut transaction, &vault, tenant_id, name, url).await?;
        let Some((endpoint_id, webhook_secret)) = made else {
            bail!("{tenant_id} has an endpoint {name}, or was deleted");
        };
        record(&mut transaction, audit::Action::CreateEndpoint, tenant_id, Some(endpoint_id.to_string()))
            .await?;
        transaction.commit().await?;
        let value = json!({
            "tenant_id": tenant_id,
            "endpoint_id": endpoint_id,
            "name": name,
            "url": url,
            "webhook_secret": webhook_secret.as_str(),
        });
        output.result(&value, || {
            format!(
                "added {name} to {tenant_id}; its secret is shown only now\n\
                 webhook_secret  {}\nendpoint_id     {endpoint_id}",
                webhook_secret.as_str()
            )
        })
    })
}

fn name(text: &str) -> Result<String, String> {
    let is_good = (1..=NAME_CHARS_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if is_good { Ok(text.to_owned()) } else { Err("accepts 1 to 100 visible characters".to_owned()) }
}
