//! Where deliveries arrive: notes when, and whether the signature holds.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use trunkline_signing::{Secret, verify_any};

/// A delivery that came in.
pub(crate) struct Arrival {
    pub(crate) event_id: String,
    pub(crate) at: Instant,
    pub(crate) is_signed: bool,
}

/// Listens on loopback until the program ends, and hands every arrival on.
pub(crate) async fn listen(secret: Secret) -> anyhow::Result<(SocketAddr, mpsc::UnboundedReceiver<Arrival>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (sender, receiver) = mpsc::unbounded_channel();
    let secret = Arc::new(secret);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let (sender, secret) = (sender.clone(), secret.clone());
            tokio::spawn(async move {
                let service = service_fn(|request| receive(request, sender.clone(), secret.clone()));
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Ok((address, receiver))
}

async fn receive(
    request: Request<Incoming>,
    arrivals: mpsc::UnboundedSender<Arrival>,
    secret: Arc<Secret>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let at = Instant::now();
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let is_signed = verify_any(header, &body, &[&secret], unix_now(), Duration::from_secs(300)).is_ok();
    let event_id = header("webhook-id").unwrap_or_default().to_owned();
    // The receiver is gone only when the measure is over.
    let _ = arrivals.send(Arrival { event_id, at, is_signed });
    Ok(Response::new(Full::default()))
}

#[expect(clippy::disallowed_methods, reason = "the measure knows no room that reads the clock for it")]
fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
