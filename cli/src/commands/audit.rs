//! `trunkline audit`: who switched what, straight from the database.

use chrono::{DateTime, Duration, Utc};
use clap::Args;
use serde_json::{Value, json};
use trunkline_domain::{EventId, TenantId};
use trunkline_store::Purpose;
use trunkline_store::audit::{self, Recorded};
use trunkline_store::events::IdRange;

use crate::operator::{OperatorOptions, block_on, connect};
use crate::output::{Output, table};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What was done to this tenant only
    #[arg(long, value_name = "TENANT_ID")]
    tenant: Option<TenantId>,
    /// What was done after this time, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    after: Option<DateTime<Utc>>,
    /// What was done before this time
    #[arg(long, value_name = "TIME")]
    before: Option<DateTime<Utc>>,
    /// How many of the newest entries
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    operator: OperatorOptions,
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let settings = options.operator.settings(*output)?;
    let found = block_on(async {
        let mut connection = connect(&settings, Purpose::Search).await?;
        let limit = i64::from(options.limit);
        Ok(audit::list(&mut connection, options.tenant.as_ref(), options.range(), limit).await?)
    })?;
    let values: Vec<Value> = found.iter().map(to_json).collect();
    output.result(&json!({"entries": values}), || {
        let rows: Vec<[String; 5]> = found.iter().map(to_row).collect();
        table(["WHEN (UTC)", "WHO", "WHAT", "TENANT", "TARGET"], &rows)
    })
}

impl Options {
    /// Exclusive at both ends, by the milliseconds that ids carry.
    fn range(&self) -> IdRange {
        let first_at = |time: DateTime<Utc>| EventId::first_at(time).as_uuid();
        IdRange {
            from: self.after.map_or(IdRange::ALL.from, |after| first_at(after + Duration::milliseconds(1))),
            before: self.before.map_or(IdRange::ALL.before, first_at),
        }
    }
}

fn to_json(entry: &Recorded) -> Value {
    json!({
        "audit_id": entry.audit_id,
        "at": entry.at,
        "actor": entry.actor,
        "action": entry.action,
        "tenant_id": entry.tenant_id,
        "target": entry.target,
        "request_id": entry.request_id,
    })
}

fn to_row(entry: &Recorded) -> [String; 5] {
    [
        entry.at.format("%Y-%m-%d %H:%M:%S").to_string(),
        entry.actor.clone(),
        entry.action.clone(),
        entry.tenant_id.as_ref().map_or_else(|| "all".to_owned(), ToString::to_string),
        entry.target.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}
