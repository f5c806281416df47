//! How much an export may hold of what it sends. A program of its own, because it counts every byte that is allocated in it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail where it stands")]
#![allow(dead_code, reason = "it needs less of the house than the other tests")]

#[path = "it/house.rs"]
mod house;

use peak_alloc::PeakAlloc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use house::House;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const EVENTS: u32 = 30_000;
const PAYLOAD_BYTES: u32 = 4 * 1_024;

/// A page of events, the lines on their way to the client and what the database's driver reads into, which is less than 1 MiB; all there
/// is has 120.
const HELD_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// The client takes so much at a time, so often, and nothing more before the api waits for it; then it reads as fast as it can.
const SIP_BYTES: usize = 1_024 * 1_024;
const SIPS: usize = 8;

/// Reads an export to its end, slowly at first. Returns how many lines it had.
async fn read(house: &House) -> u32 {
    let mut stream = TcpStream::connect(("127.0.0.1", house.port())).await.unwrap();
    let request = format!(
        "GET /v1/events/export?type=many HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n\r\n",
        house.acme.api_key
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = vec![0; 64 * 1_024];
    let (mut read, mut sips, mut lines, mut last) = (0, 0, 0, [0; 5]);
    loop {
        if sips < SIPS && read >= sips * SIP_BYTES {
            until_it_waits(house).await;
            sips += 1;
        }
        let some = match stream.read(&mut buffer).await.unwrap() {
            0 => break,
            length => &buffer[..length],
        };
        read += some.len();
        for byte in some {
            // Lines of the framing end with both.
            lines += u32::from(*byte == b'\n' && last[4] != b'\r');
            last.rotate_left(1);
            last[4] = *byte;
        }
    }
    assert_eq!(&last, b"0\r\n\r\n", "it came to its end");
    assert!(read > (EVENTS * PAYLOAD_BYTES) as usize);
    lines
}

/// Waits until the api has asked the database for nothing for a while: it waits for its client.
async fn until_it_waits(house: &House) {
    trunkline_testkit::eventually("the api waits for its client", async || {
        let busy = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND application_name = 'trunkline'
                      AND (state <> 'idle' OR state_change > clock_timestamp() - interval '150 milliseconds')";
        (house.database.text(busy).await == "0").then_some(())
    })
    .await;
}

/// Memory is the process's: one test at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_any_size_takes_bounded_memory_however_slowly_it_is_read() {
    let _alone = ALONE.lock().await;
    let house = House::new().await;
    house.publish_many(EVENTS, PAYLOAD_BYTES).await;
    // What is made once and kept, such as connections, is not the export's.
    house.client.get("/v1/events/export?type=none").await;
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let lines = read(&house).await;
    let held = MEMORY.peak_usage().saturating_sub(before);
    println!("{} KiB", held / 1_024);
    assert_eq!(lines, EVENTS);
    assert!(held <= HELD_BYTES_MAX, "{held} bytes");
}

/// What an export of the largest payloads holds while nobody reads it: a chunk, its copy in the connection's buffer, and what was found.
const HELD_OF_LARGEST_MAX: usize = 2 * 1_024 * 1_024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exports_of_the_largest_payloads_take_bounded_memory_while_nobody_reads_them() {
    let _alone = ALONE.lock().await;
    let house = House::new().await;
    house.publish_many(60, 256 * 1_024).await;
    house.client.get("/v1/events/export?type=none").await;
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let mut clients = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(("127.0.0.1", house.port())).await.unwrap();
        let request = format!(
            "GET /v1/events/export HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
            house.acme.api_key
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.readable().await.unwrap();
        clients.push(stream);
    }
    until_it_waits(&house).await;
    let held = MEMORY.peak_usage().saturating_sub(before);
    println!("{} KiB", held / 1_024);
    // Two of them run; each of the others was told so in a few bytes.
    assert!(held <= 2 * HELD_OF_LARGEST_MAX + HELD_BYTES_MAX, "{held} bytes");
}
