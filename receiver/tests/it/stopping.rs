use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use trunkline_boot::{Settings, Shutdown};
use trunkline_testkit::{TestDatabase, settings};

use crate::house::{BODY, House};

#[tokio::test]
async fn a_stop_finishes_what_has_begun_and_waits_for_no_idle_connection() {
    let house = House::new().await;
    assert_eq!(house.replica.client.get("/health").await.status, 200, "this connection stays open, idle");

    let headers: String =
        house.sign("evt_1").pairs().iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "POST /acme/webhook HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n{headers}content-length: {}\r\n\r\n",
        BODY.len()
    );
    let mut begun = TcpStream::connect(("127.0.0.1", house.replica.port)).await.unwrap();
    begun.write_all(head.as_bytes()).await.unwrap();
    // `100 Continue` tells that the request has reached the server.
    let mut interim = [0; 25];
    begun.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");

    house.replica.request_stop();
    let stopping = Instant::now();
    begun.write_all(BODY.as_bytes()).await.unwrap();
    let mut answer = String::new();
    begun.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(house.receipts().await, "1");
    let port = house.replica.port;
    house.replica.stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(10), "{:?}", stopping.elapsed());
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
}

#[tokio::test]
async fn it_does_not_start_without_what_it_needs() {
    let refusal = async |settings: &Settings| {
        trunkline_receiver::build(settings, Shutdown::new())
            .await
            .err()
            .expect("it should not start")
            .to_string()
    };
    let bare = TestDatabase::unmigrated().await;
    assert!(refusal(&settings(&bare)).await.contains("trunkline migrate"));

    let database = TestDatabase::new().await;
    let mut without_keys = settings(&database);
    without_keys.secrets.keys.clear();
    assert!(refusal(&without_keys).await.contains("secrets.keys"));

    let mut without_database = settings(&database);
    without_database.database.url = None;
    assert!(refusal(&without_database).await.contains("database.url"));

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut same_port = settings(&database);
    same_port.receiver.bind = taken.local_addr().unwrap();
    assert!(refusal(&same_port).await.contains("receiver.bind"));
}
