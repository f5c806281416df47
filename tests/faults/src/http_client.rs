//! A pooled client whose calls always end: most servers here are about to be killed.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Longer than anything the api promises.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer, read to its end.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> anyhow::Result<serde_json::Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("{} {:?}", self.status, String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn has(&self, header: &str) -> bool {
        self.headers.contains_key(header)
    }
}

/// Calls servers on loopback.
#[derive(Clone)]
pub(crate) struct Client(Pooled<HttpConnector, Full<Bytes>>);

impl Client {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(2)));
        Self(Pooled::builder(TokioExecutor::new()).build(connector))
    }

    /// POSTs JSON with a key, and with those headers that have a value. An error means that nobody knows what became of it.
    pub(crate) async fn post(
        &self,
        port: u16,
        path: &str,
        bearer: &str,
        headers: &[(&str, Option<&str>)],
        body: String,
    ) -> anyhow::Result<Reply> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://127.0.0.1:{port}{path}"))
            .header("authorization", format!("Bearer {bearer}"))
            .header("content-type", "application/json");
        for (name, value) in headers {
            if let Some(value) = value {
                request = request.header(*name, *value);
            }
        }
        self.send(request.body(Full::new(Bytes::from(body)))?).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Reply> {
        let exchange = async {
            let (head, body) = self.0.request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            anyhow::Ok(Reply { status: head.status.as_u16(), headers: head.headers, body })
        };
        tokio::time::timeout(PATIENCE, exchange).await.context("no answer in time")?
    }
}

/// GETs a path once, on a connection of its own.
pub(crate) async fn get(port: u16, path: &str) -> anyhow::Result<Reply> {
    let request = Request::builder().uri(format!("http://127.0.0.1:{port}{path}")).body(Full::default())?;
    Client::new().send(request).await
}
