//! Whether traffic should come here now.

use crate::shutdown::Shutdown;
use actix_web::{HttpResponse, web};
use futures_util::future::{BoxFuture, join_all};
use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A check that takes longer has failed: an orchestrator would not wait either.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

type Run = dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync;

/// Something that must hold for a process to be given traffic.
#[derive(Clone)]
pub struct ReadinessCheck {
    name: &'static str,
    run: Arc<Run>,
}

impl ReadinessCheck {
    /// A check called `name`. Its error is shown to whoever asks: a sentence without secrets.
    pub fn new<F, R>(name: &'static str, run: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self { name, run: Arc::new(move || Box::pin(run())) }
    }

    async fn failure(&self) -> Option<Failure> {
        let reason = match tokio::time::timeout(CHECK_TIMEOUT, (self.run)()).await {
            Ok(Ok(())) => return None,
            Ok(Err(reason)) => reason,
            Err(_) => format!("no answer within {} s", CHECK_TIMEOUT.as_secs()),
        };
        Some(Failure { name: self.name, reason })
    }
}

impl fmt::Debug for ReadinessCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadinessCheck").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Failure {
    name: &'static str,
    reason: String,
}

#[derive(Serialize)]
struct Answer {
    status: &'static str,
    failing: Vec<Failure>,
}

pub(super) async fn answer(
    checks: web::Data<Vec<ReadinessCheck>>,
    shutdown: web::Data<Shutdown>,
) -> HttpResponse {
    if shutdown.is_requested() {
        let failing = vec![Failure { name: "shutdown", reason: "this process is stopping".to_owned() }];
        return HttpResponse::ServiceUnavailable().json(Answer { status: "not_ready", failing });
    }
    let failing: Vec<Failure> =
        join_all(checks.iter().map(ReadinessCheck::failure)).await.into_iter().flatten().collect();
    if failing.is_empty() {
        return HttpResponse::Ok().json(Answer { status: "ready", failing });
    }
    HttpResponse::ServiceUnavailable().json(Answer { status: "not_ready", failing })
}
