//! `trunkline operational-endpoint`: where Trunkline's own news go, over REST.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::api_client::Method;
use crate::api_options::ApiOptions;
use crate::input::ChosenSecret;
use crate::output::Output;

const PATH: &str = "/v1/tenants/current/operational-endpoint";

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    api: ApiOptions,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Send news there from now on; prints the webhook secret of a new one, this once
    Set {
        /// Where news are delivered
        url: String,
        #[command(flatten)]
        secret: ChosenSecret,
    },
    /// Show it with all its settings
    Show,
    /// Send no news any more
    Delete,
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let client = options.api.client()?;
    let answer = match &options.action {
        Action::Set { url, secret } => {
            let mut body = json!({"url": url});
            if let Some(secret) = secret.read()? {
                body["webhook_secret"] = json!(secret.as_str());
            }
            client.ask(Method::Put, PATH, Some(&body))?
        }
        Action::Show => client.ask(Method::Get, PATH, None)?,
        Action::Delete => client.ask(Method::Delete, PATH, None)?,
    };
    output.answer(&answer)
}
