//! The schema that a DBA and customers read: its columns are a contract, its rows are held to a tenant by policies, and the
//! documented questions read no whole history.

use trunkline_store::Connection;
use trunkline_testkit::{TestDatabase, run, text, try_text};

/// What version 1 promises. Add to it when a column is added; nothing else may change.
const CONTRACT: &str = "\
attempts: lane smallint, tenant_id text, event_id uuid, event text, endpoint_id uuid, endpoint text, attempt integer, started_at timestamp with time zone, duration_ms integer, status_code smallint, outcome attempt_outcome, error text, response_excerpt text, url text, worker text
dead_letters: lane smallint, tenant_id text, event_id uuid, event text, endpoint_id uuid, endpoint text, type text, url text, attempts integer, last_attempt_at timestamp with time zone, last_status_code smallint, last_error text, created_at timestamp with time zone, dead_since timestamp with time zone
deliveries: lane smallint, tenant_id text, event_id uuid, event text, endpoint_id uuid, endpoint text, status delivery_status, attempts integer, cycle_attempts integer, due_at timestamp with time zone, in_flight boolean, leased_until timestamp with time zone, held boolean, ordering_key text, last_attempt_at timestamp with time zone, last_status_code smallint, last_error text, created_at timestamp with time zone, finished_at timestamp with time zone
endpoint_health: lane smallint, tenant_id text, endpoint_id uuid, endpoint text, name text, url text, health text, disabled_reason text, paused_until timestamp with time zone, breaker_open_until timestamp with time zone, failing_since timestamp with time zone, failures integer, oldest_due_at timestamp with time zone, created_at timestamp with time zone, updated_at timestamp with time zone, deleted_at timestamp with time zone
events: lane smallint, tenant_id text, event_id uuid, event text, type text, status text, created_at timestamp with time zone, deliver_at timestamp with time zone, ordering_key text, traceparent text, routed boolean, payload_bytes integer, payload_sha256 text, payload json
partitions: of_table text, from_day date, until_day date, partition name, rows_estimate bigint, bytes bigint, dead_rows bigint, last_vacuum_at timestamp with time zone, last_analyze_at timestamp with time zone
queue: lane smallint, tenant_id text, endpoint_id uuid, endpoint text, due bigint, in_flight bigint, scheduled bigint, held bigint, oldest_due_at timestamp with time zone
tenant_daily: day date, lane smallint, tenant_id text, events bigint, payload_bytes bigint, deliveries bigint, delivered bigint, waiting bigint, dead_letters bigint, cancelled bigint, attempts bigint, counted_at timestamp with time zone
tenants: tenant_id text, lane smallint, status tenant_status, retention_days integer, created_at timestamp with time zone, updated_at timestamp with time zone";

/// A tenant with an endpoint, three events of today (delivered, dead, and one whose payload is not JSON), and one that waits.
const HISTORY: &str = "
    WITH tenant AS (
        INSERT INTO trunkline.tenants (tenant_id, lane, created_at, updated_at) VALUES ('$tenant', $lane, now(), now())
        RETURNING tenant_id, lane
    ), endpoint AS (
        INSERT INTO trunkline.endpoints (tenant_id, endpoint_id, lane, name, url, custom_headers, created_at, updated_at)
        SELECT tenant_id, gen_random_uuid(), lane, 'default', 'https://example.com/$tenant', '{\"x-token\":\"canary\"}', now(), now()
        FROM tenant RETURNING *
    ), event AS (
        INSERT INTO trunkline.events (lane, tenant_id, event_id, type, payload_sha256, payload_bytes, created_at, routed)
        SELECT lane, tenant_id, trunkline.uuid_v7(now() + n * interval '1 ms'), 'kind.' || n, decode(repeat('00', 32), 'hex'), 10, now(), true
        FROM tenant CROSS JOIN generate_series(1, 4) AS n RETURNING *
    ), payload AS (
        INSERT INTO trunkline.payloads (lane, tenant_id, event_id, payload)
        SELECT lane, tenant_id, event_id,
               CASE type WHEN 'kind.1' THEN convert_to('{\"n\": 1e400, \"nul\": \"\\u0000\"}', 'UTF8')
                         WHEN 'kind.2' THEN '\\xff00'::bytea ELSE convert_to('{}', 'UTF8') END
        FROM event
    ), delivery AS (
        INSERT INTO trunkline.deliveries (lane, tenant_id, event_id, endpoint_id, status, attempts, cycle_attempts, due_at,
            last_attempt_at, created_at, finished_at)
        SELECT e.lane, e.tenant_id, e.event_id, p.endpoint_id,
               (ARRAY['DELIVERED', 'FAILED', 'FAILED', 'PENDING'])[right(e.type, 1)::integer]::trunkline.delivery_status,
               CASE e.type WHEN 'kind.4' THEN 0 ELSE 1 END, 0,
               CASE e.type WHEN 'kind.3' THEN now() + interval '1 hour' WHEN 'kind.4' THEN now() - interval '1 minute' END,
               CASE WHEN e.type <> 'kind.4' THEN now() END, now(), CASE WHEN e.type IN ('kind.1', 'kind.2') THEN now() END
        FROM event AS e CROSS JOIN endpoint AS p RETURNING *
    )
    INSERT INTO trunkline.attempts (lane, tenant_id, event_id, endpoint_id, attempt, started_at, outcome)
    SELECT lane, tenant_id, event_id, endpoint_id, 1, now(), 'succeeded' FROM delivery WHERE attempts > 0";

async fn seed(database: &TestDatabase, tenant: &str, lane: u8) {
    database.execute(&HISTORY.replace("$tenant", tenant).replace("$lane", &lane.to_string())).await;
}

/// A connection as another login would have it: names of roles are of the whole server, so each test has its own.
async fn login(database: &TestDatabase, role: &str) -> Connection {
    let mut connection = database.connect().await;
    run(&mut connection, &format!("SET SESSION AUTHORIZATION {role}")).await;
    connection
}

#[tokio::test]
async fn columns_of_the_views_are_what_was_promised() {
    let database = TestDatabase::new().await;
    let columns = "
        SELECT string_agg(relname || ': ' || columns, E'\\n' ORDER BY relname)
        FROM (
            SELECT c.relname, string_agg(a.attname || ' ' || replace(format_type(a.atttypid, a.atttypmod), 'trunkline.', ''), ', ' ORDER BY a.attnum) AS columns
            FROM pg_class AS c
            JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
            WHERE c.relnamespace = 'trunkline_read'::regnamespace
            GROUP BY c.relname
        ) AS views";
    assert_eq!(database.text(columns).await, CONTRACT);
    assert_eq!(database.text("SELECT trunkline_read.version()").await, "1");
}

#[tokio::test]
async fn every_view_runs_with_its_readers_rights_and_every_object_is_explained() {
    let database = TestDatabase::new().await;
    let unsafe_views = "
        SELECT string_agg(relname, ', ') FROM pg_class
        WHERE relnamespace = 'trunkline_read'::regnamespace AND relkind = 'v'
          AND NOT coalesce(reloptions @> ARRAY['security_invoker=true'], false)";
    assert_eq!(database.text(unsafe_views).await, "");
    let silent = "
        SELECT string_agg(what, ', ') FROM (
            SELECT c.relname || coalesce('.' || a.attname, '') AS what
            FROM pg_class AS c
            LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
            WHERE c.relnamespace = 'trunkline_read'::regnamespace
              AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)
            UNION ALL
            SELECT proname FROM pg_proc
            WHERE pronamespace = 'trunkline_read'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL
        ) AS objects";
    assert_eq!(database.text(silent).await, "");
}

#[tokio::test]
async fn a_dba_reads_all_tenants_and_neither_tables_nor_secrets() {
    let database = TestDatabase::new().await;
    seed(&database, "acme", 3).await;
    seed(&database, "umbrella", 4).await;
    database.execute("CREATE ROLE views_dba LOGIN; GRANT trunkline_reader TO views_dba").await;
    let mut dba = login(&database, "views_dba").await;
    for (view, rows) in [
        ("events", "8"),
        ("deliveries", "8"),
        ("attempts", "6"),
        ("endpoint_health", "2"),
        ("queue", "2"),
        ("dead_letters", "2"),
        ("tenant_daily", "2"),
        ("tenants", "2"),
    ] {
        let count = text(&mut dba, &format!("SELECT count(*) FROM trunkline_read.{view}")).await;
        assert_eq!(count, rows, "{view}");
    }
    let day = "SELECT concat_ws(' ', events, payload_bytes, deliveries, delivered, waiting, dead_letters, cancelled, attempts)
        FROM trunkline_read.tenant_daily WHERE tenant_id = 'acme'";
    assert_eq!(text(&mut dba, day).await, "4 40 4 1 2 1 0 3");
    let queue = "SELECT concat_ws(' ', due, in_flight, scheduled, held) FROM trunkline_read.queue WHERE tenant_id = 'acme'";
    assert_eq!(text(&mut dba, queue).await, "1 0 1 0");
    let statuses = "SELECT string_agg(status, ' ' ORDER BY event_id) FROM trunkline_read.events WHERE tenant_id = 'acme'";
    assert_eq!(text(&mut dba, statuses).await, "DELIVERED FAILED FAILED PENDING");
    for hidden in [
        "SELECT custom_headers FROM trunkline.endpoints",
        "SELECT count(*) FROM trunkline.events",
        "SELECT count(*) FROM trunkline.endpoint_secrets",
        "SELECT count(*) FROM trunkline.api_keys",
        "SELECT trunkline.bind_reader('views_dba', 'acme')",
        "DELETE FROM trunkline_read.tenants",
    ] {
        let refused = try_text(&mut dba, hidden).await.unwrap_err();
        assert!(refused.contains("permission denied"), "{hidden}: {refused}");
    }
}

#[tokio::test]
async fn payloads_are_json_word_for_word_and_what_is_none_fails_no_query() {
    let database = TestDatabase::new().await;
    seed(&database, "acme", 3).await;
    let payloads = "SELECT string_agg(coalesce(payload::text, 'none'), ' ' ORDER BY event_id) FROM trunkline_read.events";
    assert_eq!(database.text(payloads).await, "{\"n\": 1e400, \"nul\": \"\\u0000\"} none {} {}");
}

#[tokio::test]
async fn a_customers_login_sees_its_tenant_whatever_it_sets() {
    let database = TestDatabase::new().await;
    seed(&database, "acme", 3).await;
    seed(&database, "umbrella", 4).await;
    database
        .execute("CREATE ROLE views_acme LOGIN; SELECT trunkline.bind_reader('views_acme', 'acme')")
        .await;
    // By mistake.
    database.execute("GRANT trunkline_reader TO views_acme").await;
    let mut acme = login(&database, "views_acme").await;
    let views = "events deliveries attempts endpoint_health queue dead_letters tenant_daily tenants";
    for (attempt, seen) in [
        ("SELECT", "acme"),
        ("SET trunkline.tenant_id = 'umbrella'", "acme"),
        // As that role alone it is still bound, and the policy that would show it its own is another role's.
        ("SET ROLE trunkline_reader", ""),
        ("SET ROLE trunkline_tenant_reader", "acme"),
    ] {
        run(&mut acme, attempt).await;
        for view in views.split(' ') {
            let whose = format!("SELECT string_agg(DISTINCT tenant_id, ' ') FROM trunkline_read.{view}");
            assert_eq!(text(&mut acme, &whose).await, seen, "{view} after {attempt}");
        }
    }
    // What the login no longer is bound to it no longer sees; without the wrong role, nothing at all.
    database.execute("REVOKE trunkline_reader FROM views_acme; DELETE FROM trunkline.reader_tenants").await;
    let mut unbound = login(&database, "views_acme").await;
    for view in views.split(' ') {
        assert_eq!(
            text(&mut unbound, &format!("SELECT count(*) FROM trunkline_read.{view}")).await,
            "0",
            "{view}"
        );
    }
}

#[tokio::test]
async fn only_a_login_that_policies_hold_is_bound() {
    let database = TestDatabase::new().await;
    seed(&database, "acme", 3).await;
    database.execute("CREATE ROLE views_root SUPERUSER; CREATE ROLE views_free LOGIN").await;
    for (login, tenant, reason) in [
        ("views_root", "acme", "superuser"),
        ("views_nobody", "acme", "no role"),
        ("views_free", "nowhere", "no tenant"),
    ] {
        let refused = database
            .try_text(&format!("SELECT trunkline.bind_reader('{login}', '{tenant}')"))
            .await
            .unwrap_err();
        assert!(refused.contains(reason), "{refused}");
    }
}

#[tokio::test]
async fn who_may_read_a_tenant_is_written_down() {
    let database = TestDatabase::new().await;
    seed(&database, "acme", 3).await;
    seed(&database, "umbrella", 4).await;
    database
        .execute(
            "CREATE ROLE views_bound LOGIN; SELECT trunkline.bind_reader('views_bound', 'acme');
             SELECT trunkline.bind_reader('views_bound', 'umbrella'); DELETE FROM trunkline.reader_tenants",
        )
        .await;
    let written = "SELECT string_agg(concat_ws(' ', action, tenant_id, target), '|' ORDER BY audit_id)
                   FROM trunkline.audit WHERE actor = 'login:' || session_user";
    let expected = "reader.bind acme views_bound|reader.unbind acme views_bound|reader.bind umbrella views_bound|\
                    reader.unbind umbrella views_bound";
    assert_eq!(database.text(written).await, expected);
}
