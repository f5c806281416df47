//! `trunkline migrate`: a step of its own before a release is rolled out; no door migrates by itself.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use trunkline_boot::Settings;
use trunkline_domain::TenantId;
use trunkline_store::roles::{self, Role};
use trunkline_store::schema::{self, SchemaError};
use trunkline_store::{PgConnection, Purpose, audit};

use crate::failure::{Failure, message};
use crate::operator::{OperatorOptions, block_on, connect, record};
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    operator: OperatorOptions,
    /// Apply nothing: wait for so long at most until the schema is there, for what must not start before
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    wait: Option<Duration>,
}

/// Between two looks.
const WAIT_PAUSE: Duration = Duration::from_millis(500);

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let settings = options.operator.settings(*output)?;
    if let Some(patience) = options.wait {
        block_on(wait(&settings, patience))?;
        return output.result(&json!({"ready": true}), || "the schema is there".to_owned());
    }
    let applied = block_on(async {
        let mut connection = connect(&direct(&settings), Purpose::Maintenance).await?;
        let applied = migrate(&mut connection, &settings).await?;
        if let Some(last) = applied.last() {
            record(&mut connection, audit::Action::Migrate, None::<&TenantId>, Some(last.to_string()))
                .await?;
        }
        anyhow::Ok(applied)
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

/// Waits until this release can work on the schema; that the database is not there yet is one more reason to wait.
async fn wait(settings: &Settings, patience: Duration) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let looked = async {
            let mut connection = connect(settings, Purpose::Request).await?;
            let (_, foreign) = roles::missing(&mut connection, &Role::ALL).await?;
            // A door's login may see nothing but as its role; an owner is none and needs none.
            let own = Role::ALL.into_iter().find(|role| foreign.iter().all(|name| name != role.name()));
            Ok(schema::require_current(&mut connection, own.as_slice()).await?)
        };
        let error: anyhow::Error = match looked.await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        // No time makes a newer schema older.
        if matches!(error.downcast_ref(), Some(SchemaError::TooNew { .. })) {
            return Err(error);
        }
        if started.elapsed() >= patience {
            let waited = humantime::format_duration(patience);
            return Err(Failure::Unavailable(format!("after {waited}: {}", message(&error))).into());
        }
        tokio::time::sleep(WAIT_PAUSE).await;
    }
}

/// Migrations hold a session lock, which does not pass a transaction pooler.
fn direct(settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    settings.database.url = settings.database.session_url.take().or(settings.database.url);
    settings
}
