//! The api from outside, as any tenant's program sees it.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::Agent;
use ureq::http::{self, Response};

use crate::failure::Failure;

/// A whole call; export pages take 5 s at most, and a batch waits for a commit.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest page: 100 events of a few hundred bytes, or one payload of 1 MiB in a frame.
pub(crate) const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// All but letters, digits, and what stands in ids and times.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// The largest page the api gives.
const PAGE_MAX: usize = 100;

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

/// What comes back, while it comes in.
pub(crate) struct Opened {
    /// One JSON document; else pages, or a document a line.
    pub(crate) is_json: bool,
    /// What is sent.
    pub(crate) body: Box<dyn Read>,
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
        self.reply(self.send(&self.agent, method, path, headers, body)?)
    }

    /// The JSON of a 2xx; null where it succeeded without a word.
    ///
    /// # Errors
    /// A [`Failure`] with what the api said, by its status, or [`Failure::Unavailable`] when nobody answers.
    pub(crate) fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
        let reply = self.call(method, path, &[], &body)?;
        if reply.is_empty() { Ok(Value::Null) } else { reply.json() }
    }

    /// GET of a path, with query parameters.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] when nobody answers.
    pub(crate) fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Reply> {
        self.call(Method::Get, &with_query(path, query), &[], b"")
    }

    /// What a list has, page after page, until `wanted` are there; and whether there are more.
    ///
    /// # Errors
    /// Those of [`Self::ask`].
    pub(crate) fn list(
        &self,
        path: &str,
        query: &[(&str, String)],
        member: &str,
        wanted: usize,
    ) -> anyhow::Result<(Vec<Value>, bool)> {
        let mut found: Vec<Value> = Vec::new();
        let mut next_token = None;
        // A page may be short, even empty, and not be the last: only a missing token says so.
        loop {
            let mut query = query.to_vec();
            query.push(("limit", PAGE_MAX.min(wanted - found.len()).to_string()));
            query.extend(next_token.take().map(|token| ("next_token", token)));
            let mut page: Value = self.get(path, &query)?.json()?;
            if let Value::Array(more) = page[member].take() {
                found.extend(more);
            }
            next_token = page["next_token"].as_str().map(str::to_owned);
            if next_token.is_none() || found.len() >= wanted {
                return Ok((found, next_token.is_some()));
            }
        }
    }

    /// A 2xx of any size and kind, which is read while it comes in and may take any time.
    ///
    /// # Errors
    /// Those of [`Self::ask`].
    pub(crate) fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Opened> {
        let answer = self.send(&agent_without_end(), method, path, headers, body)?;
        if !answer.status().is_success() {
            let reply = self.reply(answer)?;
            reply.json::<Value>()?;
            return Err(anyhow!(reply.reason()));
        }
        let content_type = answer.headers().get("content-type").and_then(|value| value.to_str().ok());
        let is_json = content_type.is_some_and(|value| value.starts_with("application/json"));
        Ok(Opened { is_json, body: Box::new(answer.into_body().into_reader()) })
    }

    fn send(
        &self,
        agent: &Agent,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Response<ureq::Body>> {
        let mut request = http::Request::builder().method(method.name()).uri(format!("{}{path}", self.base));
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
        agent.run(request.body(body).map_err(unusable)?).map_err(|error| match error {
            ureq::Error::Http(error) => Failure::Usage(format!("this cannot be sent: {error}")).into(),
            error => Failure::Unavailable(format!("{} does not answer: {error}", self.base)).into(),
        })
    }

    fn reply(&self, mut answer: Response<ureq::Body>) -> anyhow::Result<Reply> {
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

impl Method {
    fn name(self) -> http::Method {
        match self {
            Self::Get => http::Method::GET,
            Self::Post => http::Method::POST,
            Self::Put => http::Method::PUT,
            Self::Patch => http::Method::PATCH,
            Self::Delete => http::Method::DELETE,
        }
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

/// A path with query parameters.
pub(crate) fn with_query(path: &str, query: &[(&str, String)]) -> String {
    let pairs = query.iter().map(|(name, value)| format!("{name}={}", escaped(value)));
    let pairs: Vec<String> = pairs.collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

/// A text as a part of a path or a query: what means something there is percent-encoded.
pub(crate) fn escaped(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, ESCAPED)
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

#[cfg(test)]
mod tests {
    use super::with_query;

    #[test]
    fn what_means_something_in_a_query_is_encoded() {
        let query = [("payload", "a.b:ü &c=+%".to_owned()), ("after", "2026-01-31T12:00:00Z".to_owned())];
        let expected = "/v1/events?payload=a.b:%C3%BC%20%26c%3D%2B%25&after=2026-01-31T12:00:00Z";
        assert_eq!(with_query("/v1/events", &query), expected);
        assert_eq!(with_query("/v1/events", &[]), "/v1/events");
    }
}
