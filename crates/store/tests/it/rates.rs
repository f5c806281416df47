//! Buckets of tokens, with a clock of the test's own.

use chrono::{DateTime, Duration, Utc};
use trunkline_store::rate_buckets::{self, Draw, Drawn};
use trunkline_testkit::TestDatabase;

fn draw(tenant_id: &str, needed: u32, wanted: u32) -> Draw {
    Draw { tenant_id: tenant_id.parse().unwrap(), per_second: 10, burst: 100, needed, wanted }
}

async fn drawn(database: &TestDatabase, draws: &[Draw], now: DateTime<Utc>) -> Vec<(u32, f64)> {
    let drawn = rate_buckets::draw(&mut *database.borrow().await, draws, now).await.unwrap();
    drawn.into_iter().map(|Drawn { granted, left }| (granted, left)).collect()
}

#[tokio::test]
async fn a_bucket_starts_full_fills_at_its_rate_and_holds_its_burst() {
    let database = TestDatabase::new().await;
    let start = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    let at = |milliseconds| start + Duration::milliseconds(milliseconds);
    for (what, draw, now, expected) in [
        ("full", draw("acme", 30, 0), at(0), (30, 70.0)),
        ("all or nothing", draw("acme", 71, 5), at(0), (0, 70.0)),
        ("what is wanted as far as it is there", draw("acme", 60, 50), at(0), (70, 0.0)),
        ("half a token is none", draw("acme", 1, 0), at(50), (0, 0.5)),
        ("a clock that is behind takes nothing away", draw("acme", 0, 5), at(0), (0, 0.5)),
        ("at its rate", draw("acme", 1, 0), at(100), (1, 0.0)),
        ("no more than its burst", draw("acme", 0, 1_000), at(3_600_000), (100, 0.0)),
        ("a full bucket owes the rest", draw("acme", 150, 9), at(7_200_000), (150, -50.0)),
        ("who owes gets nothing", draw("acme", 0, 9), at(7_204_000), (0, -10.0)),
    ] {
        assert_eq!(drawn(&database, &[draw], now).await, [expected], "{what}");
    }
}

#[tokio::test]
async fn draws_of_many_tenants_are_answered_in_their_order() {
    let database = TestDatabase::new().await;
    let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    drawn(&database, &[draw("mmm", 1, 0)], now).await;
    // Two draws of one tenant at a time, as when a process forgot that it had one under way.
    let draws = [draw("zzz", 1, 0), draw("mmm", 2, 0), draw("aaa", 3, 0), draw("zzz", 4, 0)];
    let found = drawn(&database, &draws, now).await;
    assert_eq!(found.iter().map(|(granted, _)| *granted).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(
        database.text("SELECT tokens FROM trunkline.rate_buckets WHERE tenant_id = 'zzz'").await,
        "95"
    );
}

#[tokio::test]
async fn a_bucket_filled_by_a_clock_that_was_set_back_fills_on() {
    let database = TestDatabase::new().await;
    let late = DateTime::from_timestamp(1_790_003_600, 0).unwrap();
    assert_eq!(drawn(&database, &[draw("acme", 100, 0)], late).await, [(100, 0.0)]);
    let now = late - Duration::hours(1);
    assert_eq!(drawn(&database, &[draw("acme", 0, 9)], now).await, [(0, 0.0)]);
    assert_eq!(drawn(&database, &[draw("acme", 0, 9)], now + Duration::seconds(1)).await, [(9, 1.0)]);
}

#[tokio::test]
async fn concurrent_draws_grant_no_token_twice() {
    let database = TestDatabase::new().await;
    let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    // In opposite orders, so that two would wait for each other if the statement did not sort.
    let one = [draw("acme", 0, 3), draw("globex", 0, 3)];
    let other = [draw("globex", 0, 3), draw("acme", 0, 3)];
    let process = async |draws: &[Draw]| {
        let mut connection = database.connect().await;
        let mut granted = 0;
        for _ in 0..20 {
            let drawn = rate_buckets::draw(&mut connection, draws, now).await.unwrap();
            granted += drawn.iter().map(|drawn| drawn.granted).sum::<u32>();
        }
        granted
    };
    let (a, b, c, d) = tokio::join!(process(&one), process(&other), process(&one), process(&other));
    assert_eq!(a + b + c + d, 200);
}
