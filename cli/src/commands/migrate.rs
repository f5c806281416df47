//! `trunkline migrate`: a step of its own before a release is rolled out; no door migrates by itself.

use clap::Args;
use serde_json::json;
use trunkline_boot::Settings;
use trunkline_store::{PgConnection, Purpose, schema};

use crate::operator::{OperatorOptions, block_on, connect};
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    operator: OperatorOptions,
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let settings = options.operator.settings(*output)?;
    let applied = block_on(async {
        let mut connection = connect(&direct(&settings), Purpose::Maintenance).await?;
        migrate(&mut connection, &settings).await
    })?;
    output.result(&json!({"applied": applied}), || match applied.as_slice() {
        [] => "the schema is current; nothing to apply".to_owned(),
        versions => {
            let lines: Vec<String> = versions.iter().map(|version| format!("applied {version}")).collect();
            lines.join("\n")
        }
    })
}

/// Applies what is missing and makes partitions ahead, as the settings ask. Answers the versions that were applied.
///
/// # Errors
/// When the database is newer than this release, a migration fails, or the server does not answer.
pub(crate) async fn migrate(connection: &mut PgConnection, settings: &Settings) -> anyhow::Result<Vec<i64>> {
    let width_days = i32::try_from(settings.partitions.width_days)?;
    let ahead_days = i32::try_from(settings.partitions.ahead)? * width_days;
    Ok(schema::migrate(connection, ahead_days, width_days).await?)
}

/// Migrations hold a session lock, which does not pass a transaction pooler.
fn direct(settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    settings.database.url = settings.database.session_url.take().or(settings.database.url);
    settings
}
