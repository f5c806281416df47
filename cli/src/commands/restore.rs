//! `trunkline restore`: after the database was restored to an earlier moment, nothing goes out before a person has looked.

use clap::{Args, Subcommand};
use serde_json::json;
use trunkline_domain::TenantId;
use trunkline_store::restore::{self, COUNT_MAX, Standing};
use trunkline_store::wake::{self, Wake};
use trunkline_store::{Connection, Purpose, audit, time};

use crate::operator::{OperatorOptions, block_on, connect, record};
use crate::output::Output;

#[derive(Debug, Args)]
#[command(after_help = "docs/BACKUP.md has the whole procedure.")]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    operator: OperatorOptions,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Pause every endpoint before a worker starts, and show what would be sent
    Hold,
    /// Show up to when the database knows, and what would be sent, perhaps a second time
    Show,
    /// Resume what was held: deliveries go on
    Release,
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let settings = options.operator.settings(*output)?;
    block_on(async {
        let mut connection = connect(&settings, Purpose::Search).await?;
        match options.action {
            Action::Hold => {
                let mut transaction = trunkline_store::begin(&mut connection).await?;
                let now = time::now(&mut transaction).await?;
                restore::hold(&mut transaction, now).await?;
                record(&mut transaction, audit::Action::HoldAfterRestore, None::<&TenantId>, None).await?;
                transaction.commit().await?;
                show(&mut connection, *output).await
            }
            Action::Show => show(&mut connection, *output).await,
            Action::Release => {
                let mut transaction = trunkline_store::begin(&mut connection).await?;
                let released = restore::release(&mut transaction).await?;
                record(&mut transaction, audit::Action::ReleaseAfterRestore, None::<&TenantId>, None).await?;
                transaction.commit().await?;
                wake::notify(&mut connection, &Wake::Look).await?;
                output.result(&json!({"released_endpoints": released}), || {
                    format!("{released} endpoints go on; each delivery has the webhook-id it had, by which receivers recognise it")
                })
            }
        }
    })
}

async fn show(connection: &mut Connection, output: Output) -> anyhow::Result<()> {
    let standing = restore::standing(connection).await?;
    let value = json!({
        "last_event_at": standing.last_event_at,
        "last_worker_at": standing.last_worker_at,
        "in_flight": standing.in_flight,
        "due": standing.due,
        "scheduled": standing.scheduled,
        "behind_key": standing.behind_key,
        "held_endpoints": standing.held_endpoints,
    });
    output.result(&value, || describe(&standing))
}

fn describe(standing: &Standing) -> String {
    let when = |at: Option<chrono::DateTime<chrono::Utc>>| {
        at.map_or_else(|| "never".to_owned(), |at| at.to_rfc3339())
    };
    let open = standing.in_flight + standing.due + standing.scheduled + standing.behind_key;
    let at_least = if open >= COUNT_MAX { "at least " } else { "" };
    format!(
        "last event            {}\n\
         last sign of a worker {}\n\
         held endpoints        {}\n\
         open deliveries       {at_least}{open}: {} were under way, {} are due, {} come later, {} wait behind their ordering key\n\n\
         Those that were delivered after that moment are delivered again, under the same webhook-id.",
        when(standing.last_event_at),
        when(standing.last_worker_at),
        standing.held_endpoints,
        standing.in_flight,
        standing.due,
        standing.scheduled,
        standing.behind_key,
    )
}
