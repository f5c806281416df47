//! What a DBA may expect of every object in the schema.

use trunkline_testkit::TestDatabase;

#[tokio::test]
async fn every_table_column_type_function_and_view_has_a_comment() {
    let database = TestDatabase::new().await;
    let silent = "
        SELECT string_agg(what, ', ' ORDER BY what) FROM (
            SELECT c.relname::text AS what
            FROM pg_class AS c
            WHERE c.relnamespace = 'trunkline'::regnamespace AND c.relkind IN ('r', 'p', 'v')
              AND c.relname NOT LIKE '\\_sqlx%' AND obj_description(c.oid, 'pg_class') IS NULL
            UNION ALL
            SELECT c.relname || '.' || a.attname
            FROM pg_class AS c
            JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            WHERE c.relnamespace = 'trunkline'::regnamespace AND c.relkind IN ('r', 'p')
              AND c.relname NOT LIKE '\\_sqlx%' AND col_description(c.oid, a.attnum) IS NULL
            UNION ALL
            SELECT t.typname FROM pg_type AS t
            WHERE t.typnamespace = 'trunkline'::regnamespace AND t.typtype = 'e' AND obj_description(t.oid, 'pg_type') IS NULL
            UNION ALL
            SELECT p.proname FROM pg_proc AS p
            WHERE p.pronamespace = 'trunkline'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL
        ) AS objects";
    assert_eq!(database.text(silent).await, "");
}

#[tokio::test]
async fn every_value_of_an_enum_is_explained_by_its_type() {
    let database = TestDatabase::new().await;
    let unexplained = "
        SELECT string_agg(t.typname || '.' || e.enumlabel, ', ')
        FROM pg_enum AS e
        JOIN pg_type AS t ON t.oid = e.enumtypid
        WHERE t.typnamespace = 'trunkline'::regnamespace
          AND obj_description(t.oid, 'pg_type') NOT LIKE '%' || e.enumlabel || '%'";
    assert_eq!(database.text(unexplained).await, "");
}

#[tokio::test]
async fn every_key_of_history_holds_the_lane() {
    let database = TestDatabase::new().await;
    let without = "
        SELECT string_agg(i.indexrelid::regclass::text, ', ')
        FROM pg_index AS i
        WHERE i.indisunique
          AND i.indrelid IN ('trunkline.events'::regclass, 'trunkline.payloads'::regclass, 'trunkline.deliveries'::regclass,
                             'trunkline.attempts'::regclass, 'trunkline.idempotency_keys'::regclass)
          AND NOT EXISTS (
              SELECT FROM pg_attribute AS a
              WHERE a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) AND a.attname = 'lane')";
    assert_eq!(database.text(without).await, "");
}

#[tokio::test]
async fn a_status_that_its_times_contradict_is_refused() {
    let database = TestDatabase::new().await;
    let row = "INSERT INTO trunkline.deliveries (lane, tenant_id, event_id, endpoint_id, created_at, status";
    let keys = "VALUES (1, 'acme', trunkline.uuid_v7(), gen_random_uuid(), now()";
    let wrong = [
        (", due_at)", ", 'DELIVERED', now())"),
        (")", ", 'PENDING')"),
        (", finished_at)", ", 'DELIVERED', now())"),
        (", attempts, last_attempt_at)", ", 'FAILED', 1, now())"),
        (", due_at, lease)", ", 'PENDING', now(), 7)"),
        (", due_at, attempts, cycle_attempts)", ", 'PENDING', now(), 1, 2)"),
        (", held)", ", 'CANCELLED', true)"),
    ];
    for (columns, values) in wrong {
        let sql = format!(
            "DO $$ BEGIN {row}{columns} {keys}{values}; RAISE 'accepted'; EXCEPTION WHEN check_violation THEN NULL; END $$"
        );
        database.execute(&sql).await;
    }
    database.execute(&format!("{row}, due_at) {keys}, 'PENDING', now())")).await;
}
