use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};

/// How the sink answers one call.
#[derive(Debug, Clone)]
pub enum Answer {
    /// With this status.
    Status(u16),
    /// With this status, headers and body.
    Full(u16, Vec<(&'static str, String)>, String),
    /// Not before [`Sink::release`] lets one go, then 200.
    Hold,
    /// The same, but then with this status.
    HoldThen(u16),
    /// By closing the connection without a word.
    Close,
}

/// A call that came in.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Its path.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Arrival {
    /// A header as text; empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// An HTTP endpoint on loopback that answers as told and remembers what came. It ends with the test's runtime.
#[derive(Clone)]
pub struct Sink {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    script: Mutex<(VecDeque<Answer>, Answer)>,
    arrivals: Mutex<Vec<Arrival>>,
    arrived: Notify,
    released: Semaphore,
}

impl Sink {
    /// Listens on a free port and answers 200 until told otherwise.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = Arc::new(State {
            script: Mutex::new((VecDeque::new(), Answer::Status(200))),
            arrivals: Mutex::default(),
            arrived: Notify::new(),
            released: Semaphore::new(0),
        });
        let sink = Self { address: listener.local_addr().unwrap(), state };
        let state = sink.state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = state.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(state.clone(), request));
                    // An error here is the connection's end, which some answers bring about on purpose.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        sink
    }

    /// The address of a path, such as `/hook`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on answers like this.
    ///
    /// # Panics
    /// When another test thread panicked in the middle of a change.
    pub fn answer(&self, answer: Answer) {
        self.state.script.lock().unwrap().1 = answer;
    }

    /// Answers the next calls like this, one each, before it goes on as told by [`Sink::answer`].
    ///
    /// # Panics
    /// When another test thread panicked in the middle of a change.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        self.state.script.lock().unwrap().0.extend(answers);
    }

    /// Lets `count` held calls go.
    pub fn release(&self, count: usize) {
        self.state.released.add_permits(count);
    }

    /// Everything that came so far.
    ///
    /// # Panics
    /// When another test thread panicked in the middle of a change.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.state.arrivals.lock().unwrap().clone()
    }

    /// Waits until `count` calls have come, and returns all that have.
    ///
    /// # Panics
    /// When they do not come within 30 seconds.
    pub async fn wait_for(&self, count: usize) -> Vec<Arrival> {
        let waiting = async {
            loop {
                let arrived = self.state.arrived.notified();
                tokio::pin!(arrived);
                arrived.as_mut().enable();
                let arrivals = self.arrivals();
                if arrivals.len() >= count {
                    return arrivals;
                }
                arrived.await;
            }
        };
        let patience = Duration::from_secs(30);
        tokio::time::timeout(patience, waiting)
            .await
            .unwrap_or_else(|_| panic!("{} of {count} calls came", self.arrivals().len()))
    }
}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let answer = {
        let mut script = state.script.lock().unwrap();
        let next = script.0.pop_front();
        next.unwrap_or_else(|| script.1.clone())
    };
    let arrival = Arrival { path: head.uri.path().to_owned(), headers: head.headers, body };
    state.arrivals.lock().unwrap().push(arrival);
    state.arrived.notify_waiters();
    let (status, headers, text) = match answer {
        Answer::Status(status) => (status, Vec::new(), String::new()),
        Answer::Full(status, headers, text) => (status, headers, text),
        Answer::Hold => {
            state.released.acquire().await.unwrap().forget();
            (200, Vec::new(), String::new())
        }
        Answer::HoldThen(status) => {
            state.released.acquire().await.unwrap().forget();
            (status, Vec::new(), String::new())
        }
        Answer::Close => return Err(std::io::Error::other("told to close")),
    };
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(Bytes::from(text))).unwrap())
}
