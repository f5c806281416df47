//! The engine's statements over partitions: planned once a day and not each time, and only for the days they ask for.

use chrono::{DateTime, Duration, Utc};
use trunkline_domain::AttemptOutcome;
use trunkline_store::deliveries::{
    ClaimTerms, Claimed, EndedAttempt, GivenBack, Lease, NextStep, Places, Wanted, active_endpoints, claim,
    give_back, record, record_free,
};
use trunkline_store::events::IdRange;
use trunkline_store::{Connection, Purpose, time};
use trunkline_testkit::{SeededTenant, TestDatabase, publish, run, seed_tenant, settings, text};
use uuid::Uuid;

/// Days of history before those that are there from the beginning.
const OLDER: u32 = 19;

struct Scene {
    database: TestDatabase,
    acme: SeededTenant,
    now: DateTime<Utc>,
}

impl Scene {
    /// Three events are due, and there are many days before them.
    async fn new() -> Self {
        let database = TestDatabase::new().await;
        let acme = seed_tenant(&database, &settings(&database), "acme", "http://127.0.0.1:9/").await;
        database
            .execute(&format!(
                "SELECT trunkline.create_partition(current_date - n, current_date - n + 1)
                 FROM generate_series(2, {OLDER} + 1) AS n"
            ))
            .await;
        for _ in 0..3 {
            publish(&database, &acme, "{}").await;
        }
        let now = time::now(&mut database.connect().await).await.unwrap();
        Self { database, acme, now }
    }

    async fn connect(&self, purpose: Purpose) -> Connection {
        self.database.pool(purpose).acquire().await.unwrap()
    }

    /// Those that a worker asks for while nothing older is open: of the last minute, or of a little ahead.
    fn recent(&self) -> IdRange {
        let id = |at| trunkline_domain::EventId::first_at(at).as_uuid();
        IdRange { from: id(self.now - Duration::minutes(1)), before: id(self.now + Duration::hours(1)) }
    }

    async fn claim(&self, connection: &mut Connection, range: IdRange) -> Vec<Claimed> {
        let wanted = Wanted {
            lane: self.acme.lane,
            endpoint_id: self.acme.endpoint_id,
            deliveries_max: 1,
            only_expedited: false,
            due_from: DateTime::UNIX_EPOCH,
        };
        let leased_until = self.now + Duration::seconds(30);
        let terms = ClaimTerms { lease: Lease(7), now: self.now, leased_until, range, dead: &[] };
        claim(connection, &[wanted], terms).await.unwrap()
    }

    async fn look(&self, connection: &mut Connection, range: IdRange) {
        let lanes = [self.acme.lane];
        let active = active_endpoints(connection, &lanes, &Places::new(), range, 10).await.unwrap();
        assert_eq!(active.len(), 1);
    }

    fn delivered(&self, claimed: &Claimed) -> EndedAttempt {
        EndedAttempt {
            key: claimed.key.clone(),
            lease: claimed.lease,
            attempt: claimed.attempt,
            started_at: self.now,
            duration_ms: 12,
            status_code: Some(200),
            outcome: AttemptOutcome::Succeeded,
            error: None,
            response_excerpt: Vec::new(),
            response_headers: None,
            url: "http://127.0.0.1:9/".to_owned(),
            next: NextStep::Delivered,
            ordering_key: None,
        }
    }
}

/// How often PostgreSQL ran the statements over deliveries that this connection has prepared: by a plan that it kept, and by one
/// that it made anew; and how many of these statements there are.
async fn plans(connection: &mut Connection) -> String {
    let sql = "SELECT format('%s kept, %s anew, of %s', sum(generic_plans), sum(custom_plans), count(*))
               FROM pg_prepared_statements
               WHERE statement LIKE '%trunkline.deliveries%' AND statement NOT LIKE '%pg_prepared_statements%'";
    text(connection, sql).await
}

/// How many of the statements over deliveries look at each row whether they were given lanes, which on one server they never are.
async fn asking_for_lanes(connection: &mut Connection) -> String {
    let sql = r"SELECT format('%s of %s', count(*) FILTER (WHERE statement ~ '\$\d+::smallint\[\] IS NULL'), count(*))
               FROM pg_prepared_statements
               WHERE statement LIKE '%trunkline.deliveries%' AND statement NOT LIKE '%pg_prepared_statements%'";
    text(connection, sql).await
}

/// How many of the older partitions of deliveries the transaction has locked.
async fn older_locked(connection: &mut Connection) -> String {
    let sql =
        "SELECT count(DISTINCT l.relation)::text FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
               WHERE l.pid = pg_backend_pid() AND c.relname ~ '^deliveries_[0-9]+$'
                 AND c.relname < 'deliveries_' || to_char(current_date - 1, 'YYYYMMDD')";
    text(connection, sql).await
}

#[tokio::test]
async fn claims_and_outcomes_of_a_day_share_a_plan() {
    let scene = Scene::new().await;
    let mut connection = scene.connect(Purpose::Claim).await;
    let mut claimed = Vec::new();
    for _ in 0..3 {
        claimed.extend(scene.claim(&mut connection, scene.recent()).await);
    }
    assert_eq!(plans(&mut connection).await, "3 kept, 0 anew, of 1");
    let mut connection = scene.connect(Purpose::Record).await;
    let ended: Vec<EndedAttempt> = claimed.iter().map(|one| scene.delivered(one)).collect();
    for one in &ended[..2] {
        assert_eq!(record(&mut connection, &[one], "worker", scene.now).await.unwrap(), [0]);
    }
    assert_eq!(plans(&mut connection).await, "2 kept, 0 anew, of 1");
    // Looks first whose rows somebody holds, and has nobody to let go behind a key.
    let recorded = record_free(&mut connection, &[&ended[2]], "worker", scene.now).await.unwrap();
    assert_eq!(recorded.written, [0]);
    assert_eq!(plans(&mut connection).await, "4 kept, 0 anew, of 2");
    assert_eq!(asking_for_lanes(&mut connection).await, "0 of 2");
}

#[tokio::test]
async fn a_plan_that_is_kept_is_for_the_days_that_are_asked_for() {
    let scene = Scene::new().await;
    let mut connection = scene.connect(Purpose::Claim).await;
    run(&mut connection, "BEGIN").await;
    let first = scene.claim(&mut connection, scene.recent()).await.remove(0);
    let second = scene.claim(&mut connection, scene.recent()).await.remove(0);
    let back = GivenBack { key: first.key, lease: first.lease, retry_at: None };
    assert_eq!(give_back(&mut connection, &[back]).await.unwrap(), 1);
    scene.look(&mut connection, scene.recent()).await;
    let ended = scene.delivered(&second);
    assert_eq!(record(&mut connection, &[&ended], "worker", scene.now).await.unwrap(), [0]);
    assert_eq!(asking_for_lanes(&mut connection).await, "0 of 4", "claim, give back, look, record");
    assert_eq!(older_locked(&mut connection).await, "0");
    // They are locked by whoever asks for all days.
    scene.claim(&mut connection, IdRange { from: Uuid::nil(), ..scene.recent() }).await;
    assert_eq!(older_locked(&mut connection).await, OLDER.to_string());
    run(&mut connection, "ROLLBACK").await;
}
