//! The api from outside, as any tenant's program sees it.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::Agent;
use ureq::http::{self, Response};

use crate::failure::Failure;

/// A whole call; export pages take 5 s at most, and a batch waits for a commit.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest page: 100 events of a few hundred bytes, or one payload of 1 MiB in a frame.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What may be done with a path.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// Calls one api with one key. Clones share connections.
#[derive(Clone)]
pub(crate) struct Client {
    agent: Agent,
    base: String,
    authorization: Option<String>,
}

/// What came back.
pub(crate) struct Reply {
    /// The status code.
    pub(crate) status: u16,
    /// How long the server asks to wait.
    pub(crate) retry_after: Option<Duration>,
    body: Vec<u8>,
}

impl Client {
    /// A client of the api at `base`, such as `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// [`Failure::Usage`] when `base` is no http URL.
    pub(crate) fn new(base: &str, key: Option<&str>) -> anyhow::Result<Self> {
        if !(base.starts_with("http://") || base.starts_with("https://")) {
            return Err(Failure::Usage(format!("{base} is not a URL: write http://host:port")).into());
        }
        Ok(Self {
            agent: agent(CALL_TIMEOUT),
            base: base.trim_end_matches('/').to_owned(),
            authorization: key.map(|key| format!("Bearer {key}")),
        })
    }

    /// GET of a path, with query parameters.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] when nobody answers.
    pub(crate) fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Reply> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        for (name, value) in query {
            request = request.query(name, value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        self.reply(request.call())
    }

    /// POST of a JSON body, as it is.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] when nobody answers.
    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> anyhow::Result<Reply> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let sent = if body.is_empty() {
            request.send_empty()
        } else {
            request.header("content-type", "application/json").send(body)
        };
        self.reply(sent)
    }

    /// GET of an answer of any size, which is read while it comes in and may take any time; it is a 2xx.
    ///
    /// # Errors
    /// A [`Failure`] with what the api said, by its status, or [`Failure::Unavailable`] when nobody answers.
    pub(crate) fn stream(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<impl Read + use<>> {
        let mut request = agent_without_end().get(format!("{}{path}", self.base));
        for (name, value) in query {
            request = request.query(name, value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let answer = request.call();
        if answer.as_ref().is_ok_and(|answer| answer.status().is_success()) {
            return Ok(answer?.into_body().into_reader());
        }
        let reply = self.reply(answer)?;
        reply.json::<Value>()?;
        Err(anyhow!(reply.reason()))
    }

    /// Any method, with a JSON body if there is one.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] when nobody answers, [`Failure::Usage`] when path or headers cannot be sent.
    pub(crate) fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Reply> {
        let method = match method {
            Method::Get => http::Method::GET,
            Method::Post => http::Method::POST,
            Method::Put => http::Method::PUT,
            Method::Patch => http::Method::PATCH,
            Method::Delete => http::Method::DELETE,
        };
        let mut request = http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let unusable = |error| Failure::Usage(format!("this cannot be sent: {error}"));
        self.reply(self.agent.run(request.body(body).map_err(unusable)?))
    }

    fn reply(&self, answer: Result<Response<ureq::Body>, ureq::Error>) -> anyhow::Result<Reply> {
        let mut answer = answer.map_err(|error| match error {
            ureq::Error::Http(error) => Failure::Usage(format!("this cannot be sent: {error}")),
            error => Failure::Unavailable(format!("{} does not answer: {error}", self.base)),
        })?;
        let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        Ok(Reply {
            status: answer.status().as_u16(),
            retry_after,
            body: body.map_err(|error| Failure::Unavailable(format!("{} broke off: {error}", self.base)))?,
        })
    }
}

impl Reply {
    /// Whether it succeeded without a word.
    pub(crate) fn is_empty(&self) -> bool {
        self.body.is_empty() && (200..300).contains(&self.status)
    }

    /// The answer's JSON, if it is a 2xx.
    ///
    /// # Errors
    /// A [`Failure`] with what the api said, by its status.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        if (200..300).contains(&self.status) {
            return serde_json::from_slice(&self.body).context("the api's answer is not JSON");
        }
        let reason = self.reason();
        Err(match self.status {
            401 | 403 => Failure::Refused(reason).into(),
            404 => Failure::NotFound(reason).into(),
            429 | 503 => Failure::Unavailable(reason).into(),
            _ => anyhow!(reason),
        })
    }

    /// What the api said of a request that it did not carry out: status, code, detail and the fields it names.
    pub(crate) fn reason(&self) -> String {
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let mut reason = format!("the api answered {}", self.status);
        for part in ["code", "detail"].iter().filter_map(|name| problem[name].as_str()) {
            reason.push_str(": ");
            reason.push_str(part);
        }
        for field in problem["errors"].as_array().into_iter().flatten() {
            reason.push_str(&format!("; {field}"));
        }
        crate::output::printable(&reason)
    }
}

/// The same for answers that take as long as they take; only silence ends them.
fn agent_without_end() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(CALL_TIMEOUT))
        .user_agent(concat!("trunkline-cli/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// An HTTP client that reports every status, follows no redirect and reads no environment.
pub(crate) fn agent(timeout: Duration) -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_global(Some(timeout))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .user_agent(concat!("trunkline-cli/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}
