//! Both makers of ids, SQL and Rust, against one table of vectors.

use chrono::DateTime;
use trunkline_domain::EventId;
use trunkline_testkit::TestDatabase;

/// Microseconds since 1970, 64 random bits, the UUID of both.
const VECTORS: &[(i64, u64, &str)] = &[
    (1_645_557_742_000_797, 0x18C4_DC0C_0C07_398F, "017f22e2-79b0-7cc0-98c4-dc0c0c07398f"),
    (0, 0, "00000000-0000-7000-8000-000000000000"),
    (999, u64::MAX, "00000000-0000-7ffb-bfff-ffffffffffff"),
    (1_000, 0x4000_0000_0000_0001, "00000000-0001-7000-8000-000000000001"),
    (4_102_444_800_123_456, 0x0123_4567_89ab_cdef, "03bb-2cc3-d87b-774b-8123-456789abcdef"),
];

#[tokio::test]
async fn sql_and_rust_mint_the_same_ids() {
    let database = TestDatabase::new().await;
    for (micros, random, expected) in VECTORS {
        let created_at = DateTime::from_timestamp_micros(*micros).unwrap();
        let expected = expected.replace('-', "");
        let minted = EventId::mint(created_at, *random).to_string();
        assert_eq!(minted.trim_start_matches("evt_"), expected, "Rust at {micros}");
        let sql = format!(
            "SELECT replace(trunkline.uuid_v7('epoch'::timestamptz + interval '{micros} microseconds',
                                              '00000000-0000-0000-{:04x}-{:012x}')::text, '-', '')",
            random >> 48,
            random & 0xffff_ffff_ffff,
        );
        assert_eq!(database.text(&sql).await, expected, "SQL at {micros}");
    }
}

#[tokio::test]
async fn sql_and_rust_agree_on_the_lowest_id_of_a_millisecond() {
    let database = TestDatabase::new().await;
    for micros in [0, 1_645_557_742_000_797, 4_102_444_800_999_999] {
        let at = DateTime::from_timestamp_micros(micros).unwrap();
        let sql = format!(
            "SELECT trunkline.uuid_v7_floor('epoch'::timestamptz + interval '{micros} microseconds')"
        );
        assert_eq!(database.text(&sql).await, EventId::first_at(at).as_uuid().to_string());
    }
}

#[tokio::test]
async fn the_database_mints_ids_of_its_own_clock() {
    let database = TestDatabase::new().await;
    let in_order = "SELECT bool_and(id > previous) FROM (
        SELECT id, lag(id) OVER (ORDER BY n) AS previous
        FROM (SELECT n, trunkline.uuid_v7(clock_timestamp() + n * interval '1 microsecond') AS id FROM generate_series(1, 1000) AS n) AS ids
    ) AS pairs";
    assert_eq!(database.text(in_order).await, "t");
}

#[tokio::test]
async fn sql_and_rust_agree_on_the_next_id() {
    let database = TestDatabase::new().await;
    for (id, next) in [
        ("017f22e2-79b0-7cc0-98c4-dc0c0c07398f", "017f22e2-79b0-7cc0-98c4-dc0c0c073990"),
        ("017f22e2-79b0-7cc0-8fff-ffffffffffff", "017f22e2-79b0-7cc0-9000-000000000000"),
        ("017f22e2-79b0-7cc0-bfff-ffffffffffff", "017f22e2-79b0-7cc1-8000-000000000000"),
        ("017f22e2-79b0-7fff-bfff-ffffffffffff", "017f22e2-79b1-7000-8000-000000000000"),
    ] {
        let last = EventId::from(id.parse::<uuid::Uuid>().unwrap());
        assert_eq!(last.after(last).as_uuid().to_string(), next, "Rust after {id}");
        assert_eq!(
            database.text(&format!("SELECT trunkline.uuid_v7_next('{id}')")).await,
            next,
            "SQL after {id}"
        );
    }
}
