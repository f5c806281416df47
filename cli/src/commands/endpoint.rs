//! `trunkline endpoint`: operators add endpoints, straight on the database.

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::json;
use trunkline_api::saving;
use trunkline_domain::TenantId;
use trunkline_store::endpoints::{Added, ENDPOINTS_MAX};
use trunkline_store::{Purpose, audit};

use crate::failure::Failure;
use crate::operator::{OperatorOptions, block_on, connect, record, vault};
use crate::output::Output;
use crate::provision::create_endpoint;

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
        name: String,
        /// Where events are delivered
        url: String,
    },
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let settings = options.operator.settings(*output)?;
    let Action::Add { tenant_id, name, url } = &options.action;
    let endpoint = saving::new_endpoint(&settings, name, url).map_err(Failure::Usage)?;
    block_on(async {
        let mut connection = connect(&settings, Purpose::Request).await?;
        let vault = vault(&settings)?;
        let mut transaction = trunkline_store::begin(&mut connection).await?;
        let (added, endpoint_id, webhook_secret) =
            create_endpoint(&mut transaction, &vault, tenant_id, &endpoint).await?;
        match added {
            Added::Done => {}
            Added::NameTaken => bail!("{tenant_id} has an endpoint {name}"),
            Added::TooMany => bail!("{tenant_id} has {ENDPOINTS_MAX} endpoints, and that is the most"),
            Added::NoTenant => {
                return Err(Failure::NotFound(format!("there is no tenant {tenant_id}")).into());
            }
        }
        record(&mut transaction, audit::Action::CreateEndpoint, tenant_id, Some(endpoint_id.to_string()))
            .await?;
        transaction.commit().await?;
        let value = json!({
            "tenant_id": tenant_id,
            "endpoint_id": endpoint_id,
            "name": name,
            "url": endpoint.url,
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
