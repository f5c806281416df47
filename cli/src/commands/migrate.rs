//! `trunkline migrate`: a step of its own before a release is rolled out; no door migrates by itself.

use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde_json::json;
use trunkline_boot::Settings;
use trunkline_boot::settings::Pooler;
use trunkline_domain::TenantId;
use trunkline_store::roles::{self, Role};
use trunkline_store::schema::{self, SchemaError};
use trunkline_store::{Connection, Purpose, audit, citus};

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
    /// Then lay the tables on the nodes of a cluster; docs/OPERATIONS.md, "Beyond one machine", says what must be there before
    #[arg(long, value_name = "ENGINE", conflicts_with = "wait")]
    distribute: Option<Engine>,
    /// Shards of each distributed table, which cannot be changed here afterwards; a cluster uses no more nodes than that
    #[arg(long, value_name = "N", default_value_t = citus::SHARDS, requires = "distribute")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=64))]
    shards: u32,
}

/// What distributes tables.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Engine {
    /// Citus
    Citus,
}

/// Between two looks.
const WAIT_PAUSE: Duration = Duration::from_millis(500);

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let settings = options.operator.settings(*output)?;
    if let Some(patience) = options.wait {
        block_on(wait(&settings, patience))?;
        return output.result(&json!({"ready": true}), || "the schema is there".to_owned());
    }
    let (applied, distributed) = block_on(async {
        let mut connection = connect(&direct(&settings), Purpose::Maintenance).await?;
        let applied = migrate(&mut connection, &settings).await?;
        if let Some(last) = applied.last() {
            record(&mut connection, audit::Action::Migrate, None::<&TenantId>, Some(last.to_string()))
                .await?;
        }
        // Once distributed, always: a migration may have made a table that belongs to the others.
        let mut distributed = Vec::new();
        if options.distribute.is_some() || citus::is_distributed(&mut connection).await? {
            distributed = citus::distribute(&mut connection, options.shards).await?;
            if !distributed.is_empty() {
                let engine = Some("citus".to_owned());
                record(&mut connection, audit::Action::Distribute, None::<&TenantId>, engine).await?;
            }
        }
        anyhow::Ok((applied, distributed))
    })?;
    let mut answer = json!({"applied": applied});
    if options.distribute.is_some() || !distributed.is_empty() {
        answer["distributed"] = json!(distributed);
    }
    output.result(&answer, || {
        let applied = applied.iter().map(|version| format!("applied {version}"));
        let lines: Vec<String> = applied.chain(distributed.iter().cloned()).collect();
        if lines.is_empty() { "the schema is current; nothing to apply".to_owned() } else { lines.join("\n") }
    })
}

/// Applies what is missing and makes partitions ahead, as the settings ask. Answers the versions that were applied.
///
/// # Errors
/// When the database is newer than this release, a migration fails, or the server does not answer.
pub(crate) async fn migrate(connection: &mut Connection, settings: &Settings) -> anyhow::Result<Vec<i64>> {
    let width_days = i32::try_from(settings.partitions.width_days)?;
    let ahead_days = i32::try_from(settings.partitions.ahead)? * width_days;
    Ok(schema::migrate(connection, ahead_days, width_days).await?)
}

/// Waits until this release can work on the schema; that the database is not there yet is one more reason to wait.
async fn wait(settings: &Settings, patience: Duration) -> anyhow::Result<()> {
    // Works with and without a pooler, so that who only waits need not be told which of it is there.
    let mut settings = settings.clone();
    settings.database.pooler = Pooler::Transaction;
    let settings = &settings;
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
pub(crate) fn direct(settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    if let Some(url) = settings.database.direct_url().cloned() {
        settings.database.url = Some(url);
        settings.database.pooler = Pooler::None;
    }
    settings
}
