//! What makes a database slow by and by: old snapshots, dead rows, partitions that are not as they should be; and settings in it
//! that do nothing.

use chrono::{DateTime, Utc};
use trunkline_boot::Settings;
use trunkline_store::inspect::{self, Bloat, Snapshot};
use trunkline_store::{Connection, StoreError, retention};

use super::check::{Check, Verdict};

/// A snapshot that is older keeps the dead versions of every delivery since; claims step over them.
const SNAPSHOT_SECONDS_WARN: i64 = 300;

/// Fewer dead rows are read past in milliseconds.
const DEAD_ROWS_MIN: i64 = 50_000;

pub(super) async fn all(
    settings: &Settings,
    connection: &mut Connection,
    now: DateTime<Utc>,
) -> Result<Vec<Check>, StoreError> {
    let kept = settings.retention.events.as_secs() / 86_400;
    let kept = i32::try_from(kept).unwrap_or(i32::MAX);
    let sees_all = inspect::sees_all_sessions(connection).await?;
    let oldest = inspect::oldest_snapshot(connection).await?;
    let worst = inspect::worst_bloat(connection, DEAD_ROWS_MIN).await?;
    let faults = inspect::partition_faults(connection).await.map(|faults| partitions(&faults));
    let days = overdue(settings, connection, now).await;
    let useless =
        inspect::settings_without_effect(connection, kept).await.map(|found| without_effect(&found));
    Ok(vec![
        snapshot(oldest, sees_all),
        bloat(worst),
        Check::if_allowed("history", faults)?,
        Check::if_allowed("retention", days)?,
        Check::if_allowed("settings in use", useless)?,
    ])
}

fn snapshot(oldest: Option<Snapshot>, sees_all: bool) -> Check {
    let is_old = oldest.as_ref().is_some_and(|oldest| oldest.seconds >= SNAPSHOT_SECONDS_WARN);
    if !sees_all && !is_old {
        return Check::warn(
            "snapshots",
            "this login sees its own sessions only",
            "GRANT pg_read_all_stats TO trunkline_operator, trunkline_worker, for this and for the metric of old transactions",
        );
    }
    let Some(oldest) = oldest else { return Check::ok("snapshots", "none is held") };
    Check::when(
        !is_old,
        Verdict::Warn,
        "snapshots",
        format!("the oldest is {} s old: {}", oldest.seconds, oldest.holder),
        "vacuum removes nothing that died since; end that session (pg_terminate_backend), transaction (ROLLBACK PREPARED) or slot",
    )
}

async fn overdue(
    settings: &Settings,
    connection: &mut Connection,
    now: DateTime<Utc>,
) -> Result<Check, StoreError> {
    let ended = |kept: std::time::Duration| {
        let kept = chrono::Duration::from_std(kept).ok();
        kept.and_then(|kept| now.checked_sub_signed(kept)).unwrap_or(DateTime::UNIX_EPOCH)
    };
    let retention = &settings.retention;
    let days =
        retention::overdue_days(connection, ended(retention.payloads), ended(retention.events)).await?;
    Ok(Check::when(
        days == 0,
        Verdict::Warn,
        "retention",
        if days == 0 {
            "no day is past it".to_owned()
        } else {
            format!("{days} days are past it and still there")
        },
        "a worker's log says why. Where workers do not own the tables: `trunkline retention --apply` as their owner, every few minutes",
    ))
}

fn bloat(worst: Option<Bloat>) -> Check {
    match worst {
        None => Check::ok("dead rows", "vacuum keeps up"),
        Some(table) if table.autovacuum_off => Check::warn(
            "dead rows",
            format!("{} is not vacuumed by itself", table.table),
            "set autovacuum = on, and reset autovacuum_enabled of the table",
        ),
        Some(table) => Check::warn(
            "dead rows",
            format!("{}: {} dead beside {} live", table.table, table.dead_rows, table.live_rows),
            "is an old snapshot held? Else vacuum is too slow: raise autovacuum_max_workers or vacuum_cost_limit, and VACUUM it once",
        ),
    }
}

fn partitions(faults: &[String]) -> Check {
    Check::when(
        faults.is_empty(),
        Verdict::Warn,
        "history",
        if faults.is_empty() { "no partition is missing".to_owned() } else { faults.join("; ") },
        "what is detached or half detached a worker finishes within a minute, or says in its log why not; \
         for a missing day: SELECT trunkline.create_partition(from_day, until_day)",
    )
}

fn without_effect(settings: &[String]) -> Check {
    Check::when(
        settings.is_empty(),
        Verdict::Warn,
        "settings in use",
        if settings.is_empty() { "each does something".to_owned() } else { settings.join("; ") },
        "these change nothing: a retention counts only where it is shorter than retention.events or its tenant's; a reader needs a login",
    )
}
