//! How the sink answers. What no HTTP library would send is in `hostile.rs`.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

/// How calls of one path are answered.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// 200, after a uniformly random time up to this.
    Good(Duration),
    /// This status, at once.
    Status(u16),
    /// Not at all, until the behaviour changes.
    Hang,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self::Good(Duration::ZERO)
    }
}

type Answer = Result<Response<Full<Bytes>>, std::io::Error>;

impl Behaviour {
    /// `None`: not before the behaviour changes.
    pub(super) async fn answer(self) -> Option<Answer> {
        let status = match self {
            Self::Good(slowness) => {
                tokio::time::sleep(slowness.mul_f64(rand::random())).await;
                200
            }
            Self::Status(status) => status,
            Self::Hang => return None,
        };
        let answer = Response::builder().status(status).body(Full::default());
        Some(answer.map_err(std::io::Error::other))
    }
}
