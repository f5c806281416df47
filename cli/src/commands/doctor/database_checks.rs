//! The database: reachable, current, safe against a crash, and not falling behind.

use chrono::{DateTime, Utc};
use trunkline_boot::{Clock, Settings};
use trunkline_store::inspect::{self, QUEUE_COUNT_MAX, Queue, ServerSettings};
use trunkline_store::schema::{self, SchemaState};
use trunkline_store::{Connection, Purpose, StoreError, partitions, restore, roles, time};

use super::check::{Check, Verdict};
use super::cluster_checks;
use super::sealing_checks;
use super::vacuum_checks;
use crate::failure::message;
use crate::operator::connect;

/// The first version with everything the schema uses.
const VERSION_NUM_MIN: i32 = 150_000;
/// Fewer days of partitions ahead, and doors are not ready.
const DAYS_AHEAD_MIN: i32 = 2;
/// Receivers refuse signatures that are 300 s off; a worker's clock must stay well inside.
const CLOCK_SECONDS_WARN: i64 = 2;
const CLOCK_SECONDS_FAIL: i64 = 200;
/// Work that has been due for longer waits for a worker that is not there, or cannot keep up.
const QUEUE_SECONDS_WARN: i64 = 60;

/// Statements shown of those that would put rights in order.
const SHOWN_MAX: usize = 5;

/// Looks at everything that can be reached: without a connection that is one finding.
pub(super) async fn all(settings: &Settings) -> Vec<Check> {
    let mut connection = match connect(settings, Purpose::Search).await {
        Ok(connection) => connection,
        Err(error) => {
            let advice =
                "is PostgreSQL running, and are host, user, password and database in database.url right?";
            return vec![Check::fail("database", message(&error), advice)];
        }
    };
    let mut checks = Vec::new();
    if let Err(error) = look(&mut connection, settings, &mut checks).await {
        checks.push(Check::fail("database", error.to_string(), "look into PostgreSQL's own log"));
    }
    checks
}

async fn look(
    connection: &mut Connection,
    settings: &Settings,
    checks: &mut Vec<Check>,
) -> Result<(), StoreError> {
    let server = inspect::server_settings(connection).await?;
    checks.extend(durability(&server));
    checks.push(clock(Clock::new().now(), time::now(connection).await?));
    let state = schema::state(connection).await?;
    checks.push(schema(state));
    // Another release's tables may lack what the next statements read.
    if state == SchemaState::Current {
        checks.extend(roles_and_rights(connection).await?);
    }
    if state.serves() {
        // Each for itself: not every door's login may look everywhere.
        let days = partitions::days_ahead(connection).await.map(days_ahead);
        checks.push(Check::if_allowed("partitions", days)?);
        let now = time::now(connection).await?;
        let waiting = inspect::queue(connection, now).await.map(|found| queue(&found, now));
        checks.push(Check::if_allowed("queue", waiting)?);
        let filters = inspect::refused_filters(connection).await.map(refused_filters);
        checks.push(Check::if_allowed("payload filters", filters)?);
        checks.extend(sealing_checks::all(connection, settings).await?);
        checks.extend(vacuum_checks::all(settings, connection, now).await?);
        let holds = restore::held_endpoints(connection).await.map(held);
        checks.push(Check::if_allowed("restore", holds)?);
        checks.extend(cluster_checks::all(connection, settings).await?);
    }
    Ok(())
}

fn durability(server: &ServerSettings) -> [Check; 5] {
    let on = |value: bool| if value { "on" } else { "off" }.to_owned();
    [
        Check::when(
            server.version_num >= VERSION_NUM_MIN,
            Verdict::Fail,
            "database",
            format!("PostgreSQL {}", server.version),
            "Trunkline needs PostgreSQL 15 or newer",
        ),
        Check::when(
            !server.in_recovery,
            Verdict::Fail,
            "primary",
            if server.in_recovery { "a standby, which takes no writes" } else { "takes writes" }.to_owned(),
            "point database.url at the primary, for example with target_session_attrs=read-write",
        ),
        Check::when(
            server.fsync,
            Verdict::Fail,
            "fsync",
            on(server.fsync),
            "a crash of the machine can lose every event; set fsync = on",
        ),
        Check::when(
            server.full_page_writes,
            Verdict::Fail,
            "full_page_writes",
            on(server.full_page_writes),
            "a crash can leave torn pages; set full_page_writes = on",
        ),
        Check::when(
            server.synchronous_commit != "off",
            Verdict::Warn,
            "synchronous_commit",
            format!("{} by default; on in Trunkline's sessions", server.synchronous_commit),
            "events published straight from SQL can be lost in a crash; leave the default on",
        ),
    ]
}

fn clock(here: DateTime<Utc>, there: DateTime<Utc>) -> Check {
    let seconds = (here - there).num_seconds().abs();
    let seen = format!("{} ms from the database's", (here - there).num_milliseconds());
    let advice =
        "signatures carry this machine's time and are refused when it is 300 s off; run an NTP client";
    match seconds {
        CLOCK_SECONDS_FAIL.. => Check::fail("clock", seen, advice),
        CLOCK_SECONDS_WARN.. => Check::warn("clock", seen, advice),
        _ => Check::ok("clock", seen),
    }
}

fn schema(state: SchemaState) -> Check {
    match state {
        SchemaState::Current => Check::ok("schema", "current"),
        SchemaState::Newer { found } => {
            Check::ok("schema", format!("{found}, newer, with all this release needs"))
        }
        SchemaState::TooOld { found: None, .. } => {
            Check::fail("schema", "there is none", "run `trunkline migrate`")
        }
        SchemaState::TooOld { found: Some(found), needed } => Check::fail(
            "schema",
            format!("{found}, this release needs {needed}"),
            "run `trunkline migrate` with this release",
        ),
        SchemaState::TooNew { found, needed } => Check::fail(
            "schema",
            format!("{found} took away what this release, which knows up to {needed}, needs"),
            "run the release that migrated it, or a newer one",
        ),
    }
}

/// Who may do what: the rights that `trunkline migrate` gives, no more and no less, and row security wherever a tenant is named.
async fn roles_and_rights(connection: &mut Connection) -> Result<[Check; 5], StoreError> {
    let differences = roles::differences(connection).await?;
    let too_much = differences.iter().any(|difference| !difference.is_missing);
    let statements: Vec<&str> =
        differences.iter().take(SHOWN_MAX).map(|difference| difference.remedy.as_str()).collect();
    let rights = match differences.len() {
        0 => Check::ok("rights", "every role has what it needs and no more"),
        count => {
            let verdict =
                if too_much { "some role may do too much" } else { "some role lacks what it needs" };
            let seen = format!("{verdict}, {count} in all: {}", statements.join("; "));
            Check::fail(
                "rights",
                seen,
                "run `trunkline migrate` as the owner of the tables; it grants and revokes",
            )
        }
    };
    let (unheld, exposed) = (roles::unheld(connection).await?, roles::exposed(connection).await?);
    let (misheld, strangers) = (roles::misheld(connection).await?, roles::strangers(connection).await?);
    let policies = match misheld.len() {
        0 => "those of the migrations and no others".to_owned(),
        count => format!("{count} statements: {}", misheld[..count.min(SHOWN_MAX)].join("; ")),
    };
    let list = |names: &[String], none: &str| {
        if names.is_empty() { none.to_owned() } else { names.join(", ") }
    };
    Ok([
        rights,
        Check::when(
            unheld.is_empty(),
            Verdict::Fail,
            "row security",
            list(&unheld, "forced on every table with a tenant"),
            "run ALTER TABLE trunkline.<name> ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY on each",
        ),
        Check::when(
            misheld.is_empty(),
            Verdict::Fail,
            "policies",
            policies,
            "find out who did it; run what is shown as the owner of the tables, in one transaction, and look again",
        ),
        Check::when(
            exposed.is_empty(),
            Verdict::Fail,
            "way round it",
            list(&exposed, "no right on a partition, no role past row security"),
            "revoke every right on partitions; take SUPERUSER and BYPASSRLS from the roles",
        ),
        Check::when(
            strangers.is_empty(),
            Verdict::Warn,
            "others' rights",
            list(&strangers, "nobody but the roles of docs/SECURITY.md may do anything in the schema"),
            "REVOKE what nobody meant; give a login the role it needs instead of rights of its own",
        ),
    ])
}

fn days_ahead(days: i32) -> Check {
    Check::when(
        days >= DAYS_AHEAD_MIN,
        Verdict::Fail,
        "partitions",
        format!("{days} days ahead"),
        "workers make them; start one and read its log, or run `trunkline migrate`",
    )
}

fn queue(queue: &Queue, now: DateTime<Utc>) -> Check {
    let at_least = if queue.due >= QUEUE_COUNT_MAX { "at least " } else { "" };
    let age = queue.oldest_due_at.map_or(0, |oldest| (now - oldest).num_seconds().max(0));
    Check::when(
        age < QUEUE_SECONDS_WARN,
        Verdict::Warn,
        "queue",
        format!("{at_least}{} due, the oldest for {age} s", queue.due),
        "is a worker running? Deliveries of suspended tenants and disabled endpoints wait too",
    )
}

fn refused_filters(endpoints: i64) -> Check {
    Check::when(
        endpoints == 0,
        Verdict::Warn,
        "payload filters",
        match endpoints {
            0 => "each can be judged in time".to_owned(),
            count => format!("{count} endpoints get nothing: their filter could take too long"),
        },
        "SELECT tenant_id, name, trunkline.weigh_filter(payload_filter) FROM trunkline.endpoints WHERE payload_filter IS NOT NULL \
         AND filter_weight IS NULL says why; their tenants write them anew",
    )
}

fn held(endpoints: i64) -> Check {
    Check::when(
        endpoints == 0,
        Verdict::Warn,
        "restore",
        if endpoints == 0 { "nothing is held".to_owned() } else { format!("{endpoints} endpoints are held") },
        "`trunkline restore show` tells what would be sent; `trunkline restore release` sends it",
    )
}
