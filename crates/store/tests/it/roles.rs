//! Who may do what: the rights of each role are those of the list, and the list is whole.

use trunkline_store::roles::{self, Role};
use trunkline_store::schema::{SchemaError, migrate, require_current};
use trunkline_store::{Connection, Purpose, partitions, pool};
use trunkline_testkit::{TestDatabase, run, try_text};

/// What an owner of the tables is a member of, where a DBA made the roles.
const ALL_ROLES: &str =
    "IN ROLE trunkline_api, trunkline_ingest, trunkline_operator, trunkline_worker, trunkline_receiver";

/// Tables that none of the roles needs.
const NOBODYS: [&str; 1] = ["erasing_places"];

#[tokio::test]
async fn every_role_has_exactly_the_rights_of_the_list() {
    let database = TestDatabase::new().await;
    let mut connection = database.connect().await;
    assert!(roles::differences(&mut connection).await.unwrap().is_empty());
    assert_eq!(roles::unheld(&mut connection).await.unwrap(), Vec::<String>::new());
    assert_eq!(roles::exposed(&mut connection).await.unwrap(), Vec::<String>::new());

    // What a DBA might do at night is seen, each by its own check, and put right.
    database
        .execute(
            "GRANT SELECT ON trunkline.api_keys TO trunkline_worker; GRANT UPDATE (url) ON trunkline.endpoints TO trunkline_ingest;
             REVOKE SELECT ON trunkline.events FROM trunkline_api; ALTER TABLE trunkline.replays NO FORCE ROW LEVEL SECURITY",
        )
        .await;
    let remedies: Vec<_> =
        roles::differences(&mut connection).await.unwrap().into_iter().map(|one| one.remedy).collect();
    assert_eq!(
        remedies,
        [
            "REVOKE UPDATE (url) ON trunkline.endpoints FROM trunkline_ingest",
            "REVOKE SELECT ON trunkline.api_keys FROM trunkline_worker",
            "GRANT SELECT ON trunkline.events TO trunkline_api",
        ]
    );
    assert_eq!(roles::unheld(&mut connection).await.unwrap(), ["replays"]);
    let partition =
        database.text("SELECT min(relname) FROM pg_class WHERE relispartition AND relkind = 'r'").await;
    database.execute(&format!("GRANT SELECT (tenant_id) ON trunkline.{partition} TO trunkline_api")).await;
    assert_eq!(roles::exposed(&mut connection).await.unwrap(), [partition]);
    roles::grant(&mut connection).await.unwrap();
    assert!(roles::differences(&mut connection).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_anybody_else_may_do_is_seen() {
    let database = TestDatabase::new().await;
    let mut connection = database.connect().await;
    assert_eq!(roles::strangers(&mut connection).await.unwrap(), Vec::<String>::new());
    let mut transaction = database.connect().await;
    // Roles are the cluster's, which other tests share: a membership is looked at before it is taken back.
    run(
        &mut transaction,
        "BEGIN; GRANT SELECT ON trunkline.api_keys TO PUBLIC; GRANT SELECT ON trunkline.endpoint_secrets TO trunkline_reader;
         GRANT UPDATE (type) ON trunkline.events TO trunkline_reader; GRANT CREATE ON SCHEMA trunkline TO pg_monitor;
         GRANT EXECUTE ON FUNCTION trunkline.publish_change TO PUBLIC; GRANT trunkline_worker TO trunkline_tenant_reader",
    )
    .await;
    assert_eq!(
        roles::strangers(&mut transaction).await.unwrap(),
        [
            "PUBLIC has EXECUTE on publish_change()",
            "PUBLIC has SELECT on api_keys",
            "pg_monitor has CREATE on the schema",
            "trunkline_reader has SELECT on endpoint_secrets",
            "trunkline_reader has UPDATE on events",
            "trunkline_tenant_reader is a member of trunkline_worker",
        ]
    );
    run(&mut transaction, "ROLLBACK").await;
}

#[tokio::test]
async fn a_policy_that_no_migration_made_is_seen_and_so_is_one_that_was_altered_or_taken_away() {
    let database = TestDatabase::new().await;
    let mut connection = database.connect().await;
    assert_eq!(roles::misheld(&mut connection).await.unwrap(), Vec::<String>::new());
    let partition =
        database.text("SELECT min(relname) FROM pg_class WHERE relispartition AND relkind = 'r'").await;
    database
        .execute(&format!(
            "CREATE POLICY all_rows ON trunkline.events FOR SELECT USING (true);
             CREATE POLICY \"None\" ON trunkline.{partition} AS RESTRICTIVE FOR INSERT TO trunkline_api WITH CHECK (false);
             ALTER POLICY own_tenant ON trunkline.payloads WITH CHECK (true);
             ALTER POLICY all_tenants ON trunkline.replays TO trunkline_api;
             ALTER POLICY tenant_reader ON trunkline.events USING (lane = (SELECT trunkline.reader_lane()));
             DROP POLICY own_tenant ON trunkline.receptions"
        ))
        .await;
    let remedies = roles::misheld(&mut connection).await.unwrap();
    let none = format!("DROP POLICY \"None\" ON trunkline.{partition}");
    for remedy in [
        "DROP POLICY all_rows ON trunkline.events",
        &none,
        "DROP POLICY own_tenant ON trunkline.payloads",
        "DROP POLICY all_tenants ON trunkline.replays",
        "DROP POLICY tenant_reader ON trunkline.events",
        "CREATE POLICY own_tenant ON trunkline.receptions FOR ALL TO trunkline_api USING ((scope = current_setting('trunkline.tenant_id'::text, true)))",
    ] {
        assert!(remedies.iter().any(|found| found == remedy), "{remedy}: {remedies:#?}");
    }
    assert_eq!(remedies.len(), 9, "{remedies:#?}");
    // What it says is what puts it right.
    database.execute(&remedies.join(";\n")).await;
    assert_eq!(roles::misheld(&mut connection).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn every_table_is_in_the_list() {
    let database = TestDatabase::new().await;
    let tables = "SELECT string_agg(relname, ' ') FROM pg_class
                  WHERE relnamespace = 'trunkline'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition";
    for table in database.text(tables).await.split(' ') {
        let is_known = roles::RIGHTS.iter().any(|(_, known, _)| *known == table) || NOBODYS.contains(&table);
        assert!(is_known, "who may do what with {table}? Say so in roles/rights.rs, or here that nobody may");
    }
}

#[test]
fn the_security_page_shows_the_list() {
    let page = include_str!("../../../../docs/SECURITY.md").split("### Who may do what").nth(1).unwrap();
    let page = page.split("### The audit").next().unwrap();
    let mut shown = 0;
    for role in Role::ALL {
        let section =
            page.split(&format!("\n**`{}`**: ", role.name())).nth(1).expect("every role has a table");
        let section = section.split("\n**`").next().unwrap();
        for (_, table, rights) in roles::RIGHTS.iter().filter(|(of, _, _)| *of == role) {
            let row = format!("| `{table}` | {} |\n", rights.replace("; ", ", "));
            assert!(section.contains(&row), "docs/SECURITY.md lacks for {}: {row}", role.name());
            shown += 1;
        }
    }
    assert_eq!(page.matches("\n| `").count(), shown, "and shows no more");
}

/// A connection of a login of its own that is a member of these roles and inherits nothing from them.
async fn login(database: &TestDatabase, name: &str, granted: &[Role]) -> (String, Connection) {
    let names: Vec<_> = granted.iter().map(|role| role.name()).collect();
    let member = if names.is_empty() { String::new() } else { format!("IN ROLE {}", names.join(", ")) };
    let create = format!("CREATE ROLE {name} LOGIN NOINHERIT PASSWORD 'secret' {member}");
    database.execute(&create).await;
    let url = url_of(database, name);
    let connection = pool::connect(&url, Purpose::Request).await.unwrap();
    (url, connection)
}

fn url_of(database: &TestDatabase, login: &str) -> String {
    let (_, place) = database.url().rsplit_once('@').unwrap();
    format!("postgres://{login}:secret@{place}")
}

#[tokio::test]
async fn a_login_that_may_not_act_as_the_doors_roles_is_told_which_it_lacks() {
    let database = TestDatabase::new().await;
    database.expect_complaints();
    let (_, mut half) = login(&database, "half_an_api", &[Role::Api]).await;
    let refused = require_current(&mut half, Role::OF_API).await.unwrap_err();
    assert!(matches!(refused, SchemaError::NotInRole { .. }), "{refused}");
    let advice = "GRANT trunkline_ingest, trunkline_operator TO half_an_api";
    assert!(refused.to_string().contains(advice), "{refused}");
    let (_, mut whole) = login(&database, "a_whole_api", Role::OF_API).await;
    require_current(&mut whole, Role::OF_API).await.unwrap();
    // Nothing of it is left in the session, which a pooler may lend to others.
    assert_eq!(try_text(&mut whole, "SELECT current_user::text").await.unwrap(), "a_whole_api");
}

#[tokio::test]
async fn a_worker_makes_partitions_and_nothing_else_of_the_owners() {
    let database = TestDatabase::new().await;
    let (url, _) = login(&database, "a_worker", &[Role::Worker]).await;
    let pool = pool::open_as(&url, Role::Worker, Purpose::Engine, 1).unwrap();
    let mut worker = pool.acquire().await.unwrap();
    let ahead = partitions::days_ahead(&mut worker).await.unwrap();
    assert!(partitions::create_ahead(&mut worker, ahead + 3, 1).await.unwrap() > 0);
    assert_eq!(partitions::days_ahead(&mut worker).await.unwrap(), ahead + 3);
    let mut owner = database.connect().await;
    assert_eq!(roles::exposed(&mut owner).await.unwrap(), Vec::<String>::new(), "they carry no rights");
    let partition =
        database.text("SELECT max(relname) FROM pg_class WHERE relispartition AND relkind = 'r'").await;
    for forbidden in [
        "CREATE TABLE trunkline.mine (x integer)".to_owned(),
        "SELECT 1 FROM trunkline.api_keys".to_owned(),
        "SELECT trunkline.hold_to_tenant('trunkline.lanes')".to_owned(),
        format!("SELECT count(*)::text FROM trunkline.{partition}"),
        format!("DROP TABLE trunkline.{partition}"),
    ] {
        let refused = try_text(&mut worker, &forbidden).await.unwrap_err();
        assert!(
            refused.contains("permission denied") || refused.contains("must be owner"),
            "{forbidden}: {refused}"
        );
    }
}

#[tokio::test]
async fn neither_a_receiver_nor_an_operator_may_do_more_with_a_row_than_it_has_a_use_for() {
    let database = TestDatabase::new().await;
    database.expect_complaints();
    for (role, forbidden) in [
        (Role::Receiver, "SELECT custom_headers::text FROM trunkline.endpoints"),
        (Role::Receiver, "SELECT name FROM trunkline.api_keys"),
        (Role::Operator, "SELECT metadata::text FROM trunkline.endpoints"),
        (Role::Operator, "UPDATE trunkline.endpoints SET payload_filter = NULL"),
        (Role::Operator, "UPDATE trunkline.tenants SET lane = 0"),
        (Role::Operator, "UPDATE trunkline.deliveries SET attempts = 0"),
    ] {
        let mut connection = database.connect().await;
        run(&mut connection, &format!("SET ROLE {}", role.name())).await;
        let refused = try_text(&mut connection, forbidden).await.unwrap_err();
        assert!(refused.contains("permission denied"), "{forbidden}: {refused}");
    }
}

#[tokio::test]
async fn an_owner_who_is_no_superuser_migrates_and_publishing_from_sql_works() {
    let database = TestDatabase::unmigrated().await;
    let name = database.text("SELECT current_database()").await;
    let create = format!(
        "CREATE ROLE an_owner LOGIN PASSWORD 'secret' {ALL_ROLES}; ALTER DATABASE {name} OWNER TO an_owner"
    );
    database.execute(&create).await;
    let mut owner = pool::connect(&url_of(&database, "an_owner"), Purpose::Maintenance).await.unwrap();
    migrate(&mut owner, 3, 1).await.unwrap();
    assert_eq!(migrate(&mut owner, 3, 1).await.unwrap(), Vec::<i64>::new(), "again");
    let tenant = "INSERT INTO trunkline.tenants (tenant_id, lane, created_at, updated_at) VALUES ('acme', 1, now(), now())";
    run(&mut owner, tenant).await;
    database.execute("CREATE ROLE a_shop LOGIN PASSWORD 'secret' IN ROLE trunkline_publisher").await;
    let mut shop = pool::connect(&url_of(&database, "a_shop"), Purpose::Request).await.unwrap();
    let publish = r#"SELECT trunkline.publish('acme', 'order.paid', '{"a":1}'::text, 'a-key', 'an-order')"#;
    let event = try_text(&mut shop, publish).await.unwrap();
    assert!(event.starts_with("evt_"), "{event}");
    assert_eq!(try_text(&mut shop, publish).await.unwrap(), event, "the key is remembered");
    assert!(try_text(&mut shop, "SELECT 1 FROM trunkline.events").await.is_err());
    run(&mut owner, "CREATE SCHEMA AUTHORIZATION CURRENT_USER; GRANT ALL ON SCHEMA an_owner TO a_shop").await;
    run(
        &mut shop,
        "CREATE TABLE an_owner.orders (id integer); SELECT trunkline.watch_table('an_owner.orders', 'acme')",
    )
    .await;
    run(
        &mut owner,
        "INSERT INTO trunkline.reader_tenants (role_name, tenant_id, lane) VALUES ('a_shop', 'acme', 1)",
    )
    .await;
    let written = "SELECT string_agg(concat_ws(' ', actor, action, tenant_id, target), '|' ORDER BY audit_id) FROM trunkline.audit";
    assert_eq!(
        try_text(&mut owner, written).await.unwrap(),
        "login:a_shop table.watch acme an_owner.orders|login:an_owner reader.bind acme a_shop"
    );
    assert_eq!(try_text(&mut owner, "SELECT count(*)::text FROM trunkline.events").await.unwrap(), "1");

    // One who may not make roles and was given none is told what to ask for.
    let bare = TestDatabase::unmigrated().await;
    let name = bare.text("SELECT current_database()").await;
    bare.execute(&format!(
        "CREATE ROLE a_poor_owner LOGIN PASSWORD 'secret'; ALTER DATABASE {name} OWNER TO a_poor_owner"
    ))
    .await;
    let mut poor = pool::connect(&url_of(&bare, "a_poor_owner"), Purpose::Maintenance).await.unwrap();
    let refused = migrate(&mut poor, 3, 1).await.unwrap_err().to_string();
    assert!(refused.contains("trunkline_receiver TO a_poor_owner;"), "{refused}");
    bare.execute("GRANT trunkline_api, trunkline_ingest, trunkline_operator, trunkline_worker, trunkline_receiver TO a_poor_owner")
        .await;
    migrate(&mut poor, 3, 1).await.unwrap();
}

#[tokio::test]
async fn a_point_read_for_a_tenant_touches_one_partition_only() {
    let database = TestDatabase::new().await;
    let acme = trunkline_testkit::seed_tenant(
        &database,
        &trunkline_testkit::settings(&database),
        "acme",
        "http://127.0.0.1:9/",
    )
    .await;
    let event = trunkline_testkit::publish(&database, &acme, "{}").await;
    let pool = pool::open_as(database.url(), Role::Api, Purpose::Request, 1).unwrap();
    let mut transaction = roles::for_tenant(&pool, &acme.tenant_id).await.unwrap();
    let found =
        trunkline_store::events::find(&mut transaction, acme.lane, &acme.tenant_id, event).await.unwrap();
    assert_eq!(found.unwrap().event_id, event);
    let locked = "SELECT count(*)::text FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
                  WHERE l.pid = pg_backend_pid() AND c.relispartition AND c.relkind = 'r'";
    assert_eq!(try_text(&mut transaction, locked).await.unwrap(), "3", "row security costs no partition");
    drop(transaction);
    // The next transaction of the same connection is another tenant's, and one of nobody's sees nothing.
    let globex = "globex".parse().unwrap();
    let mut transaction = roles::for_tenant(&pool, &globex).await.unwrap();
    let foreign =
        trunkline_store::events::find(&mut transaction, acme.lane, &acme.tenant_id, event).await.unwrap();
    assert!(foreign.is_none());
    drop(transaction);
    let mut connection = pool.acquire().await.unwrap();
    let foreign =
        trunkline_store::events::find(&mut connection, acme.lane, &acme.tenant_id, event).await.unwrap();
    assert!(foreign.is_none());
}
