//! How much an attempt may hold of what an endpoint says (R9). A program of its own, because it counts every byte that is
//! allocated in it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail where it stands")]
#![allow(dead_code, reason = "it needs less of the endpoints than the other tests")]

#[path = "it/authority.rs"]
mod authority;
#[path = "it/raw_endpoint.rs"]
mod raw_endpoint;

use std::sync::Arc;
use std::time::Duration;

use peak_alloc::PeakAlloc;
use tokio::task::JoinSet;
use trunkline_boot::Settings;
use trunkline_worker::ceiling::Ceiling;

use authority::Authority;
use raw_endpoint::{Conduct, RawEndpoint, Then};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// R9. What the endpoints of the test hold themselves is counted too, in favour of nobody.
const HELD_BYTES_MAX: usize = 256 * 1_024;

const ATTEMPTS: usize = 64;

/// More than payloads have unless a setting lets them, so that a copy of it shows. All attempts of a ceiling share one.
const PAYLOAD_BYTES: usize = 1_024 * 1_024;

/// Long enough for every attempt to hold as much as it will.
const TIMEOUT: Duration = Duration::from_secs(2);

fn soon(settings: &mut Settings) {
    settings.delivery.timeout = TIMEOUT;
}

/// The peak of many attempts at once, for each of them.
async fn held_by_each(ceiling: Ceiling) -> usize {
    let ceiling = Arc::new(ceiling);
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let mut attempts = JoinSet::new();
    for _ in 0..ATTEMPTS {
        let ceiling = ceiling.clone();
        attempts.spawn(async move { ceiling.deliver().await });
    }
    attempts.join_all().await;
    MEMORY.peak_usage().saturating_sub(before) / ATTEMPTS
}

fn manners() -> Vec<(&'static str, Vec<u8>, Then)> {
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\n";
    let almost = |head: &[u8]| [head, b"x: ", &[b'y'; 60_000]].concat();
    vec![
        ("half a head of 60 KB", almost(OK), Then::Hold),
        ("a header without end", [OK, b"x: "].concat(), Then::Repeat(vec![b'y'; 4_096])),
        ("headers without end", OK.to_vec(), Then::Repeat(b"x: y\r\n".repeat(500))),
        ("a body without end", [OK, b"\r\n"].concat(), Then::Repeat(vec![b'x'; 4_096])),
        // As it comes: nothing is unpacked, whatever it says of itself.
        (
            "a packed body without end",
            [OK, b"content-encoding: gzip\r\n\r\n\x1f\x8b\x08"].concat(),
            Then::Repeat(vec![0; 4_096]),
        ),
        ("a refusal without end", b"HTTP/1.1 500 No\r\n\r\n".to_vec(), Then::Repeat(vec![b'x'; 4_096])),
        (
            "a body that stops at 60 KB",
            [OK, b"content-length: 99999\r\n\r\n", &[b'x'; 60_000]].concat(),
            Then::Hold,
        ),
        (
            "chunks without end",
            [OK, b"transfer-encoding: chunked\r\n\r\n"].concat(),
            Then::Repeat([b"1000\r\n".as_slice(), &[b'x'; 4_096], b"\r\n"].concat()),
        ),
        (
            "informational answers without end",
            Vec::new(),
            Then::Repeat([b"HTTP/1.1 103 Hints\r\nx: ".as_slice(), &[b'y'; 4_096], b"\r\n\r\n"].concat()),
        ),
    ]
}

/// What is said before a call has come, none of which is read.
fn greetings() -> Vec<(&'static str, Vec<u8>, Then)> {
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\n";
    vec![
        ("an answer to what is not read", [OK, b"content-length: 0\r\n\r\n"].concat(), Then::Hold),
        (
            "half an answer to what is not read",
            [OK, b"content-length: 99999\r\n\r\n", &[b'x'; 60_000]].concat(),
            Then::Hold,
        ),
        ("a body without end to what is not read", [OK, b"\r\n"].concat(), Then::Repeat(vec![b'x'; 4_096])),
    ]
}

/// Records of a handshake (RFC 8446, section 5.1) whose one message says that it has 16 MiB.
fn handshake_without_end() -> (Vec<u8>, Then) {
    const RECORD: &[u8] = &[22, 3, 3, 0x40, 0];
    let message = [&[2, 0xff, 0xff, 0xff], [b'x'; 16_380].as_slice()].concat();
    ([RECORD, &message].concat(), Then::Repeat([RECORD, &[b'x'; 16_384]].concat()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_holds_no_more_than_256_kib_of_whatever_is_answered() {
    let authority = Authority::new("ours");
    for (name, says, then) in manners() {
        let conduct = Conduct { says, then };
        let endpoint = RawEndpoint::start(conduct.clone()).await;
        let held = held_by_each(Ceiling::under(&endpoint.url, 1_024, soon).unwrap()).await;
        println!("{name}: {} KiB", held / 1_024);
        assert!(held <= HELD_BYTES_MAX, "{name}: {held} bytes each");

        let port = authority.behaving("localhost", |_| {}, conduct).await;
        let url = format!("https://localhost:{port}/hook");
        let held = held_by_each(Ceiling::trusting(&url, authority.roots(), soon).unwrap()).await;
        println!("{name}, over TLS: {} KiB", held / 1_024);
        assert!(held <= HELD_BYTES_MAX, "{name}, over TLS: {held} bytes each");
    }
    for (name, says, then) in greetings() {
        let endpoint = RawEndpoint::greeting(says, then).await;
        let held = held_by_each(Ceiling::under(&endpoint.url, PAYLOAD_BYTES, soon).unwrap()).await;
        println!("{name}: {} KiB", held / 1_024);
        assert!(held <= HELD_BYTES_MAX, "{name}: {held} bytes each, beside the payload");
    }
    let (says, then) = handshake_without_end();
    let endpoint = RawEndpoint::greeting(says, then).await;
    let url = endpoint.url.replacen("http://127.0.0.1", "https://localhost", 1);
    let held = held_by_each(Ceiling::trusting(&url, authority.roots(), soon).unwrap()).await;
    println!("a handshake without end: {} KiB", held / 1_024);
    assert!(held <= HELD_BYTES_MAX, "a handshake without end: {held} bytes each");
}
