//! `trunkline own-tenant`: what a tenant sees and changes of itself, over REST.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use crate::api_client::Method;
use crate::api_options::ApiOptions;
use crate::input::ChosenSecret;
use crate::output::Output;

const PATH: &str = "/v1/tenants/current";

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    api: ApiOptions,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show it: whose key this is, where its events go, how long they are kept, how many it may publish
    Show,
    /// Change it; what is not named stays
    Update {
        /// Where the events of its endpoint `default` are delivered from now on
        #[arg(long, value_name = "URL")]
        target_url: Option<String>,
        #[command(flatten)]
        secret: ChosenSecret,
        /// Keep its events for so many days only: older ones are hidden at once and then erased
        #[arg(long, value_name = "DAYS")]
        retention_days: Option<u32>,
        /// Back to the installation's default
        #[arg(long, value_enum, value_name = "SETTING", conflicts_with = "retention_days")]
        default: Option<Setting>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Setting {
    RetentionDays,
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let client = options.api.client()?;
    let answer = match &options.action {
        Action::Show => client.ask(Method::Get, PATH, None)?,
        Action::Update { target_url, secret, retention_days, default } => {
            let mut body = Map::new();
            let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
            if let Some(url) = target_url {
                put("target_url", json!(url));
            }
            if let Some(secret) = secret.read()? {
                put("webhook_secret", json!(secret.as_str()));
            }
            if let Some(days) = retention_days {
                put("retention_days", json!(days));
            }
            if let Some(Setting::RetentionDays) = default {
                put("retention_days", Value::Null);
            }
            client.ask(Method::Patch, PATH, Some(&Value::Object(body)))?
        }
    };
    output.answer(&answer)
}
