//! An endpoint that speaks bytes rather than HTTP, so that it can say what no server would.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Between two pieces of what comes slowly.
const DRIP_EVERY: Duration = Duration::from_millis(20);

/// What it does once a whole call has come.
#[derive(Clone)]
pub(crate) struct Conduct {
    pub(crate) says: Vec<u8>,
    pub(crate) then: Then,
}

/// What comes after the first words.
#[derive(Clone)]
pub(crate) enum Then {
    /// Waits for another call.
    Listen,
    Close,
    /// Says nothing more and keeps the connection open.
    Hold,
    /// Says this for ever, as fast as it is read.
    Repeat(Vec<u8>),
    /// Says this for ever, slowly.
    Drip(Vec<u8>),
}

/// Listens on loopback until the test's runtime ends.
pub(crate) struct RawEndpoint {
    pub(crate) url: String,
    connections: Arc<AtomicUsize>,
}

impl RawEndpoint {
    /// Behaves that way to each call.
    pub(crate) async fn start(conduct: Conduct) -> Self {
        Self::serving(move |stream| serve(stream, conduct.clone())).await
    }

    /// Says this before anything has come.
    pub(crate) async fn greeting(says: Vec<u8>, then: Then) -> Self {
        Self::serving(move |mut stream| {
            let (says, then) = (says.clone(), then.clone());
            async move {
                let _ = stream.write_all(&says).await;
                go_on(&mut stream, &then).await;
            }
        })
        .await
    }

    /// Answers when it has read the head of a call, and closes with the rest of it unread, which resets the connection.
    pub(crate) async fn hasty(says: Vec<u8>) -> Self {
        Self::serving(move |mut stream| {
            let says = says.clone();
            async move {
                if read_head(&mut stream).await.is_some() {
                    let _ = stream.write_all(&says).await;
                }
            }
        })
        .await
    }

    /// Says this when a call has come, and resets the connection.
    pub(crate) async fn resetting(says: Vec<u8>) -> Self {
        Self::serving(move |mut stream| {
            let says = says.clone();
            async move {
                if read_call(&mut stream).await.is_some() {
                    let _ = stream.write_all(&says).await;
                    let _ = stream.set_zero_linger();
                }
            }
        })
        .await
    }

    async fn serving<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream));
            }
        });
        Self { url, connections }
    }

    /// How many connections were made to it.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Behaves that way to each call until the connection is at its end, which is no failure here.
pub(crate) async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, conduct: Conduct) {
    while read_call(&mut stream).await.is_some() {
        if stream.write_all(&conduct.says).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        go_on(&mut stream, &conduct.then).await;
        if matches!(conduct.then, Then::Close) {
            return;
        }
    }
}

async fn go_on(stream: &mut (impl AsyncWrite + Unpin), then: &Then) {
    match then {
        Then::Listen => {}
        Then::Close => {
            let _ = stream.shutdown().await;
        }
        Then::Hold => std::future::pending().await,
        Then::Repeat(bytes) => while stream.write_all(bytes).await.is_ok() {},
        Then::Drip(bytes) => {
            while stream.write_all(bytes).await.is_ok() {
                tokio::time::sleep(DRIP_EVERY).await;
            }
        }
    }
}

/// Reads one call; `None` when none comes any more.
async fn read_call(stream: &mut (impl AsyncRead + Unpin)) -> Option<()> {
    let head = read_head(stream).await?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.ok()?;
    Some(())
}

/// Reads a head and nothing behind it.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}
