//! Where deliveries arrive: notes each, and answers as told, path by path.

mod behaviour;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Notify;

pub(crate) use behaviour::Behaviour;

/// A caller that gave up, and its next request, come by two connections, and the next may be seen first: for so long both count as open.
const NOTICED: Duration = Duration::from_millis(20);

/// A delivery that came in, whatever was answered to it.
#[derive(Clone)]
pub(crate) struct Arrival {
    pub(crate) path: String,
    pub(crate) webhook_id: String,
    /// The number that the publisher wrote into the payload.
    pub(crate) number: Option<u64>,
    pub(crate) body: Bytes,
    pub(crate) headers: HeaderMap,
    pub(crate) at: Instant,
}

/// An endpoint on loopback for any number of tenants, each with a path of its own.
#[derive(Clone)]
pub(crate) struct Sink {
    port: u16,
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    behaviours: HashMap<String, Behaviour>,
    arrivals: Vec<Arrival>,
    /// Requests that were not answered yet, by path, now and at most.
    open: HashMap<String, (usize, usize)>,
}

impl Sink {
    pub(crate) async fn listen(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let sink = Self { port, state: Arc::default(), changed: Arc::default() };
        tokio::spawn(sink.clone().serve(listener));
        Ok(sink)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// From now on answers like this on that path, also to what hangs there.
    pub(crate) fn behave(&self, path: &str, behaviour: Behaviour) {
        self.lock().behaviours.insert(path.to_owned(), behaviour);
        self.changed.notify_waiters();
    }

    /// Everything that came so far.
    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.lock().arrivals.clone()
    }

    /// How many came so far on a path.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.lock().arrivals.iter().filter(|arrival| arrival.path == path).count()
    }

    /// Requests on a path that wait for their answer now, and the most there ever were.
    pub(crate) fn open(&self, path: &str) -> (usize, usize) {
        self.lock().open.get(path).copied().unwrap_or_default()
    }

    /// Waits until so many requests on a path wait for their answer at one time.
    pub(crate) async fn until_open(&self, path: &str, count: usize) -> anyhow::Result<()> {
        let since = Instant::now();
        while self.open(path).0 < count {
            anyhow::ensure!(
                since.elapsed() < Duration::from_secs(45),
                "never {count} requests open on {path}"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Waits until so many requests came in on a path.
    pub(crate) async fn until_count(&self, path: &str, count: usize) -> anyhow::Result<()> {
        let since = Instant::now();
        while self.count(path) < count {
            anyhow::ensure!(since.elapsed() < Duration::from_secs(20), "never {count} requests on {path}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    async fn serve(self, listener: TcpListener) {
        loop {
            // The system refuses for want of a file descriptor now and then; the next try is as good as any.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            let sink = self.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| sink.clone().receive(request));
                // An error here is the end of a caller that was killed.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    }

    async fn receive(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, std::io::Error> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let Ok(body) = body.collect().await else {
            // Cut off in the middle: it did not arrive.
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        };
        let body = body.to_bytes();
        let text =
            |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let arrival = Arrival {
            path: path.clone(),
            webhook_id: text("webhook-id").to_owned(),
            number: number_in(&body),
            body,
            headers: head.headers.clone(),
            at: Instant::now(),
        };
        let _open = self.note(arrival);
        self.answer(&path).await
    }

    /// Goes on waiting until the behaviour that is then in force says what to answer.
    async fn answer(&self, path: &str) -> Result<Response<Full<Bytes>>, std::io::Error> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let behaviour = self.lock().behaviours.get(path).cloned().unwrap_or_default();
            if let Some(answer) = behaviour.answer().await {
                return answer;
            }
            changed.await;
        }
    }

    fn note(&self, arrival: Arrival) -> Open {
        let mut state = self.lock();
        let path = arrival.path.clone();
        let (now, most) = state.open.entry(path.clone()).or_default();
        *now += 1;
        if *now > *most {
            tokio::spawn(self.clone().note_most(path.clone(), *now));
        }
        state.arrivals.push(arrival);
        Open { sink: self.clone(), path }
    }

    /// Takes a number of open requests for the most there were, if it lasts.
    async fn note_most(self, path: String, count: usize) {
        tokio::time::sleep(NOTICED).await;
        if let Some((now, most)) = self.lock().open.get_mut(&path) {
            *most = (*most).max(count.min(*now));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }
}

/// A request that is being answered; dropped with the answer, or with the caller.
struct Open {
    sink: Sink,
    path: String,
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some((now, _)) = self.sink.lock().open.get_mut(&self.path) {
            *now -= 1;
        }
    }
}

fn number_in(body: &Bytes) -> Option<u64> {
    serde_json::from_slice::<serde_json::Value>(body).ok()?.get("number")?.as_u64()
}
