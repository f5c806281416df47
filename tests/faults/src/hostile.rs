//! Endpoints that answer as no HTTP library would: each manner is a TCP server of its own.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::house::free_port;

/// How a hostile endpoint answers each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// A body without end.
    EndlessBody,
    /// Chunks without end.
    EndlessChunks,
    /// Headers without end.
    EndlessHeaders,
    /// One header of 8 MiB.
    HugeHeader,
    /// 10,000 small headers.
    ManyHeaders,
    /// A byte of the head now and then.
    SlowHead,
    /// A byte of the body now and then.
    SlowBody,
    /// `100 Continue` for ever.
    Continues,
    /// `103 Early Hints` for ever, a moment apart.
    EarlyHints,
    /// Less body than its Content-Length says, then silence.
    ShortBody,
    /// More body than its Content-Length says.
    LongBody,
    /// A Content-Length that is no number.
    WrongLength,
    /// Two Content-Lengths that differ.
    TwoLengths,
    /// A chunk whose size is none.
    WrongChunk,
    /// Bytes that are no HTTP.
    Garbage,
    /// A status that does not exist.
    WrongStatus,
    /// A redirect to itself.
    Redirect,
    /// `Retry-After` that is no time.
    WrongRetryAfter,
    /// A switch of protocols nobody asked for.
    Upgrade,
    /// Closes before it has read anything.
    ClosesAtOnce,
    /// RST in the middle of the head.
    ResetsMidway,
    /// Never reads and never answers.
    NeverReads,
}

impl Manner {
    pub(crate) const ALL: [Self; 22] = [
        Self::EndlessBody,
        Self::EndlessChunks,
        Self::EndlessHeaders,
        Self::HugeHeader,
        Self::ManyHeaders,
        Self::SlowHead,
        Self::SlowBody,
        Self::Continues,
        Self::EarlyHints,
        Self::ShortBody,
        Self::LongBody,
        Self::WrongLength,
        Self::TwoLengths,
        Self::WrongChunk,
        Self::Garbage,
        Self::WrongStatus,
        Self::Redirect,
        Self::WrongRetryAfter,
        Self::Upgrade,
        Self::ClosesAtOnce,
        Self::ResetsMidway,
        Self::NeverReads,
    ];
}

/// Listens for as long as the program runs; returns the port.
pub(crate) async fn listen(manner: Manner) -> anyhow::Result<u16> {
    let port = free_port()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // An error is the caller's hanging up, which is right of it.
            tokio::spawn(async move { Box::pin(answer(manner, stream)).await.ok() });
        }
    });
    Ok(port)
}

/// A drop of a slow answer.
const DRIP: Duration = Duration::from_millis(100);

async fn answer(manner: Manner, mut stream: TcpStream) -> std::io::Result<()> {
    match manner {
        Manner::ClosesAtOnce => return Ok(()),
        Manner::NeverReads => return std::future::pending().await,
        _ => {}
    }
    let mut request = [0; 16 * 1024];
    if stream.read(&mut request).await? == 0 {
        return Ok(());
    }
    let filling = "x".repeat(16 * 1024);
    match manner {
        Manner::EndlessBody => repeat(&mut stream, "HTTP/1.1 200 OK\r\n\r\n", &filling, Duration::ZERO).await,
        Manner::EndlessChunks => {
            let chunk = format!("4000\r\n{filling}\r\n");
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            repeat(&mut stream, head, &chunk, Duration::ZERO).await
        }
        Manner::EndlessHeaders => {
            repeat(&mut stream, "HTTP/1.1 200 OK\r\n", "x-more: and more\r\n", Duration::ZERO).await
        }
        Manner::HugeHeader => {
            let huge = format!("HTTP/1.1 200 OK\r\nx-huge: {}\r\n\r\n", filling.repeat(512));
            then_wait(&mut stream, &huge).await
        }
        Manner::ManyHeaders => {
            let many: String = (0..10_000).map(|index| format!("x-{index}: y\r\n")).collect();
            then_wait(&mut stream, &format!("HTTP/1.1 200 OK\r\n{many}\r\n")).await
        }
        Manner::SlowHead => repeat(&mut stream, "HTTP/1.1 200 OK\r\nx-slow: ", "y", DRIP).await,
        Manner::SlowBody => {
            repeat(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n", "z", DRIP).await
        }
        Manner::Continues => repeat(&mut stream, "", "HTTP/1.1 100 Continue\r\n\r\n", Duration::ZERO).await,
        Manner::EarlyHints => {
            let hint = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
            repeat(&mut stream, "", hint, Duration::from_millis(1)).await
        }
        Manner::Garbage => then_close(&mut stream, "\u{0}\u{1}this is not HTTP at all\r\n\r\n").await,
        Manner::ClosesAtOnce | Manner::NeverReads => Ok(()),
        Manner::ResetsMidway => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nx-cut: ").await?;
            stream.set_zero_linger()
        }
        Manner::ShortBody => {
            then_wait(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nten bytes.").await
        }
        _ => then_close(&mut stream, one_piece(manner)).await,
    }
}

/// Wrong answers that are sent whole.
fn one_piece(manner: Manner) -> &'static str {
    match manner {
        Manner::LongBody => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 500 Smuggled\r\n\r\n",
        Manner::WrongLength => "HTTP/1.1 200 OK\r\ncontent-length: -17\r\n\r\nok",
        Manner::TwoLengths => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 5\r\n\r\nokay!",
        Manner::WrongChunk => {
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nok\r\n"
        }
        Manner::WrongStatus => "HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n",
        Manner::Redirect => "HTTP/1.1 307 Again\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
        Manner::WrongRetryAfter => {
            "HTTP/1.1 503 Later\r\nretry-after: -99999999999999999999\r\ncontent-length: 0\r\n\r\n"
        }
        _ => "HTTP/1.1 101 Switching Protocols\r\nupgrade: nothing\r\nconnection: upgrade\r\n\r\n",
    }
}

async fn repeat(stream: &mut TcpStream, first: &str, again: &str, pause: Duration) -> std::io::Result<()> {
    stream.write_all(first.as_bytes()).await?;
    loop {
        stream.write_all(again.as_bytes()).await?;
        if pause.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(pause).await;
        }
    }
}

async fn then_wait(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    stream.write_all(text.as_bytes()).await?;
    // Until the caller has enough of it.
    stream.read(&mut [0; 1]).await.map(|_| ())
}

async fn then_close(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    stream.write_all(text.as_bytes()).await
}
