//! Behind PgBouncer 1.18 in transaction mode, whose two connections to the server go from hand to hand.

use std::str::FromStr as _;

use futures_util::FutureExt as _;
use futures_util::future::try_join_all;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Row as _};
use trunkline_store::schema::{SchemaError, migrate, require_current};
use trunkline_store::{Address, Connection, Pool, Purpose, Role, StoreError, partitions, pool, roles, time};
use trunkline_testkit::{
    PgBouncer, SeededTenant, TestDatabase, eventually, publish, run, seed_tenant, settings,
};

/// A database behind a pooler, for a login that inherits nothing of the roles it may act in.
struct Scene {
    database: TestDatabase,
    pooler: PgBouncer,
    acme: SeededTenant,
}

impl Scene {
    /// `None` where there is no PgBouncer, which is told; CI has it.
    async fn set(login: &str) -> Option<Self> {
        Self::set_with(login, &[]).await
    }

    #[expect(clippy::print_stderr, reason = "what could not be tried must not look as if it had been")]
    async fn set_with(login: &str, more: &[(&str, &str)]) -> Option<Self> {
        if !PgBouncer::is_installed() {
            eprintln!("not tried: there is no pgbouncer here");
            return None;
        }
        let database = TestDatabase::new().await;
        let acme = seed_tenant(&database, &settings(&database), "acme", "http://127.0.0.1:9/").await;
        let granted: Vec<_> = Role::ALL.iter().map(|role| role.name()).collect();
        let create = format!(
            "CREATE ROLE {login} LOGIN NOINHERIT PASSWORD 'secret' IN ROLE {}; CREATE TABLE public.notes (note text); \
             GRANT ALL ON public.notes TO {}, {login}",
            granted.join(", "),
            granted.join(", ")
        );
        database.execute(&create).await;
        let (_, place) = database.url().rsplit_once('@').unwrap();
        let url = format!("postgres://{login}:secret@{place}");
        let settings: Vec<_> = more.iter().copied().chain([("default_pool_size", "2")]).collect();
        let pooler = PgBouncer::before(&url, &settings).await;
        Some(Self { database, pooler, acme })
    }

    fn address(&self) -> Address<'_> {
        Address::new(self.pooler.url(), true)
    }

    fn pool(&self, role: Role, purpose: Purpose, connections_max: u32) -> Pool {
        pool::open_as(self.address(), role, purpose, connections_max).unwrap()
    }

    async fn notes(&self) -> String {
        self.database.text("SELECT coalesce(string_agg(note, ' ' ORDER BY note), '') FROM public.notes").await
    }
}

async fn note(connection: &mut Connection, text: &str) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO public.notes VALUES ($1)").bind(text).execute(connection).await.map(drop)
}

/// Role, time limit and the like, as a statement with a parameter sees them.
async fn session(connection: &mut Connection) -> (String, String, i32) {
    let row = sqlx::query("SELECT current_user::text, current_setting('statement_timeout'), $1::integer + 1")
        .bind(41)
        .fetch_one(connection)
        .await
        .unwrap();
    (row.get(0), row.get(1), row.get(2))
}

#[tokio::test]
async fn statements_have_role_and_settings_whoever_had_the_connection_before() {
    let Some(scene) = Scene::set("a_pooled_worker").await else { return };
    let pools = [
        (scene.pool(Role::Worker, Purpose::Engine, 4), "trunkline_worker", "10s"),
        (scene.pool(Role::Ingest, Purpose::Request, 4), "trunkline_ingest", "1s"),
        (scene.pool(Role::Receiver, Purpose::Search, 4), "trunkline_receiver", "5s"),
    ];
    let clients = pools.iter().cycle().take(12).map(|(pool, role, limit)| async move {
        for _ in 0..20 {
            let mut connection = pool.acquire().await?;
            assert_eq!(session(&mut connection).await, ((*role).to_owned(), (*limit).to_owned(), 42));
            let mut transaction = connection.begin().await?;
            assert_eq!(session(&mut transaction).await, ((*role).to_owned(), (*limit).to_owned(), 42));
            sqlx::query("SET LOCAL statement_timeout = '7s'").execute(&mut *transaction).await?;
            assert_eq!(session(&mut transaction).await.1, "7s");
            transaction.commit().await?;
        }
        Ok::<(), sqlx::Error>(())
    });
    try_join_all(clients).await.unwrap();
    let mut operator = pool::connect(scene.address(), Purpose::Search).await.unwrap();
    assert_eq!(session(&mut operator).await, ("a_pooled_worker".to_owned(), "5s".to_owned(), 42));
    let mut worker = pools[0].0.acquire().await.unwrap();
    assert_eq!(partitions::days_ahead(&mut worker).await.unwrap(), 3);
    time::read(&pools[0].0).await.unwrap();

    // Another client of the pooler, who has both of its connections at one time.
    let options = PgConnectOptions::from_str(scene.pooler.url()).unwrap().extra_float_digits(None);
    let mut pids = Vec::new();
    let (mut one, mut other) = (options.connect().await.unwrap(), options.connect().await.unwrap());
    for client in [&mut one, &mut other] {
        client.execute("BEGIN").await.unwrap();
    }
    for client in [&mut one, &mut other] {
        let asked = "SELECT pg_backend_pid(), current_user::text, current_setting('statement_timeout'), \
                     current_setting('jit'), current_setting('enable_sort'), current_setting('lock_timeout'), \
                     coalesce(current_setting('trunkline.tenant_id', true), ''), \
                     (SELECT count(*)::integer FROM pg_prepared_statements)";
        let row = client.fetch_one(sqlx::raw_sql(asked)).await.unwrap();
        pids.push(row.get::<i32, _>(0));
        let seen: Vec<String> = (1..7).map(|column| row.get(column)).collect();
        assert_eq!(seen, ["a_pooled_worker", "0", "on", "on", "0", ""]);
        assert_eq!(row.get::<i32, _>(7), 0, "nothing is prepared by name");
    }
    assert_ne!(pids[0], pids[1], "all of the pooler's connections were looked at");
    one.close().await.unwrap();
}

#[tokio::test]
async fn a_tenants_transaction_sees_its_rows_through_a_pooler_and_leaves_no_tenant_behind() {
    let Some(scene) = Scene::set("a_pooled_api").await else { return };
    let event = publish(&scene.database, &scene.acme, "{}").await;
    let pool = scene.pool(Role::Api, Purpose::Request, 3);
    let mut found = Vec::new();
    for tenant in ["acme", "globex", "acme", "globex"] {
        let tenant_id = tenant.parse().unwrap();
        let mut transaction = roles::for_tenant(&pool, &tenant_id).await.unwrap();
        let event =
            trunkline_store::events::find(&mut transaction, scene.acme.lane, &scene.acme.tenant_id, event)
                .await;
        found.push(event.unwrap().is_some());
    }
    assert_eq!(found, [true, false, true, false]);
    let mut operator = roles::for_operator(&pool).await.unwrap();
    assert_eq!(session(&mut operator).await.0, "trunkline_operator");
    drop(operator);
    assert_eq!(session(&mut pool.acquire().await.unwrap()).await.0, "trunkline_api");
}

#[tokio::test]
async fn what_is_committed_lasts_and_what_is_dropped_is_undone_through_a_pooler() {
    let Some(scene) = Scene::set("a_pooled_writer").await else { return };
    let pool = scene.pool(Role::Ingest, Purpose::Maintenance, 1);
    let mut connection = pool.acquire().await.unwrap();
    note(&mut connection, "alone").await.unwrap();
    assert_eq!(scene.notes().await, "alone", "it is committed before its caller hears of it");

    let mut transaction = connection.begin().await.unwrap();
    note(&mut transaction, "dropped").await.unwrap();
    drop(transaction);
    let mut transaction = connection.begin().await.unwrap();
    note(&mut transaction, "together-1").await.unwrap();
    note(&mut transaction, "together-2").await.unwrap();
    let mut savepoint = transaction.begin().await.unwrap();
    note(&mut savepoint, "taken-back").await.unwrap();
    savepoint.rollback().await.unwrap();
    transaction.commit().await.unwrap();
    drop(connection);
    assert_eq!(scene.notes().await, "alone together-1 together-2");

    // A statement that fails leaves nothing open.
    let refused =
        sqlx::query("INSERT INTO public.notes SELECT 'failed' FROM generate_series(1, 1 / $1)").bind(0);
    let mut connection = pool.acquire().await.unwrap();
    scene.database.expect_complaints();
    refused.execute(&mut connection).await.unwrap_err();
    note(&mut connection, "next").await.unwrap();
    assert_eq!(scene.notes().await, "alone next together-1 together-2");
}

#[tokio::test]
async fn a_statement_that_nobody_waits_for_any_more_is_undone() {
    let Some(scene) = Scene::set("a_pooled_deserter").await else { return };
    let pool = scene.pool(Role::Ingest, Purpose::Maintenance, 1);
    let mut holder = scene.database.connect().await;
    run(&mut holder, "BEGIN; LOCK TABLE public.notes IN SHARE MODE").await;
    {
        let mut connection = pool.acquire().await.unwrap();
        let waits = eventually("the statement waits", || async {
            let waits = "SELECT true::text FROM pg_stat_activity \
                         WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO public.notes%' AND datname = current_database()";
            (scene.database.text(waits).await == "true").then_some(())
        });
        tokio::select! {
            done = note(&mut connection, "nobody's") => panic!("it did not wait: {done:?}"),
            () = waits => {}
        }
    }
    run(&mut holder, "COMMIT").await;
    // The only connection, which is lent again when it has been cleared.
    note(&mut pool.acquire().await.unwrap(), "next").await.unwrap();
    assert_eq!(scene.notes().await, "next");
}

/// With and without a pooler: sqlx by itself would lend on a connection that is in a transaction of which it knows nothing.
#[tokio::test]
async fn a_beginning_that_fails_or_is_given_up_spoils_no_connection() {
    let Some(scene) = Scene::set("a_pooled_beginner").await else { return };
    scene.database.expect_complaints();
    let direct = {
        let (_, place) = scene.database.url().rsplit_once('@').unwrap();
        format!("postgres://a_pooled_beginner:secret@{place}")
    };
    for address in [scene.address(), Address::from(direct.as_str())] {
        let pool = pool::open(address, Purpose::Request, 1).unwrap();
        let mut connection = pool.acquire().await.unwrap();
        note(&mut connection, "before").await.unwrap();
        // Given up before its answer came, which once in a while is there at once.
        let is_given_up = (0..100).any(|_| connection.begin().now_or_never().is_none());
        assert!(is_given_up, "the answer was there at once, a hundred times");
        drop(connection);
        note(&mut pool.acquire().await.unwrap(), "after").await.unwrap();
        assert_eq!(scene.notes().await, "after before");
        scene.database.execute("TRUNCATE public.notes").await;

        // Twice on the same pool of one: the second finds no transaction that has failed.
        scene.database.execute("REVOKE trunkline_operator FROM a_pooled_beginner").await;
        for _ in 0..2 {
            let refused = roles::for_operator(&pool).await.unwrap_err().to_string();
            assert!(refused.contains("permission denied to set role"), "{refused}");
        }
        scene.database.execute("GRANT trunkline_operator TO a_pooled_beginner").await;
        roles::for_operator(&pool).await.unwrap();
    }
}

#[tokio::test]
async fn who_does_not_name_a_pooler_is_told_to() {
    let Some(scene) = Scene::set("an_unaware_door").await else { return };
    let refused = pool::connect(scene.pooler.url(), Purpose::Request).await.unwrap_err();
    assert!(matches!(refused, StoreError::Pooler(_)), "{refused}");
    assert!(refused.to_string().contains("set database.pooler = \"transaction\""), "{refused}");
    // Named, it passes.
    let mut connection = pool::connect(scene.address(), Purpose::Request).await.unwrap();
    require_current(&mut connection, Role::OF_API).await.unwrap();
    // What only a session can do says so.
    let refused = migrate(&mut connection, 3, 1).await.unwrap_err();
    assert!(matches!(refused, SchemaError::ThroughPooler), "{refused}");

    // One that takes the settings and drops them is noticed too.
    let dropping = [("ignore_startup_parameters", "options,extra_float_digits")];
    let scene = Scene::set_with("an_unaware_worker", &dropping).await.unwrap();
    let mut connection = pool::connect(scene.pooler.url(), Purpose::Engine).await.unwrap();
    let refused = require_current(&mut connection, &[Role::Worker]).await.unwrap_err();
    assert!(matches!(refused, SchemaError::Store(StoreError::Pooler(_))), "{refused}");
}
