//! Connections serve one call after another, and a connection that its endpoint has closed costs no attempt.

use trunkline_domain::AttemptOutcome;
use trunkline_worker::ceiling::Ceiling;

use crate::raw_endpoint::{Conduct, RawEndpoint, Then};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async fn connections_for_ten_calls(says: &[u8], then: Then) -> usize {
    let endpoint = RawEndpoint::start(Conduct { says: says.to_vec(), then }).await;
    let ceiling = Ceiling::new(&endpoint.url, 1_024, 1).unwrap();
    for _ in 0..10 {
        let attempt = ceiling.deliver().await;
        assert_eq!(attempt.outcome, AttemptOutcome::Succeeded, "{:?}", attempt.error);
    }
    endpoint.connections()
}

#[tokio::test]
async fn a_connection_serves_the_next_call() {
    assert_eq!(connections_for_ten_calls(OK, Then::Listen).await, 1);
    let empty = b"HTTP/1.1 204 No Content\r\n\r\n";
    assert_eq!(connections_for_ten_calls(empty, Then::Listen).await, 1);
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    assert_eq!(connections_for_ten_calls(chunked, Then::Listen).await, 1);
}

#[tokio::test]
async fn an_endpoint_that_wants_no_second_call_gets_none() {
    let closing = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    assert_eq!(connections_for_ten_calls(closing, Then::Hold).await, 10);
    let old = b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok";
    assert_eq!(connections_for_ten_calls(old, Then::Hold).await, 10);
}

#[tokio::test]
async fn an_answer_too_long_to_read_costs_its_connection_only() {
    let long =
        [b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n".as_slice(), &[b'x'; 1_000_000]].concat();
    assert_eq!(connections_for_ten_calls(&long, Then::Listen).await, 10);
}
