//! The listener for those who run the process: is it alive, may it get traffic, what does it count.

mod metrics_text;
mod readiness;

pub(crate) use metrics_text::fold_samples;
pub use metrics_text::record_metrics;
pub use readiness::ReadinessCheck;

use crate::listen::{BindError, listen};
use crate::shutdown::Shutdown;
use actix_web::guard::{Any, Get, Head};
use actix_web::http::header::ALLOW;
use actix_web::{App, FromRequest, Handler, HttpResponse, HttpServer, Resource, Responder, web};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;

/// `/healthz`, `/readyz` and `/metrics` on a port of their own, which tenants need not reach.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    port: u16,
    checks: Vec<ReadinessCheck>,
    shutdown: Shutdown,
}

impl Admin {
    /// Takes the port and starts recording metrics. `/readyz` runs `checks` at each call and answers 503
    /// while one fails, and from the moment `shutdown` is requested.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub fn bind(
        address: SocketAddr,
        checks: Vec<ReadinessCheck>,
        shutdown: Shutdown,
    ) -> Result<Self, BindError> {
        let listener = listen(address, "admin.bind")?;
        let port = listener.local_addr().map_or(address.port(), |local| local.port());
        record_metrics();
        Ok(Self { listener, port, checks, shutdown })
    }

    /// The port that was taken.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Answers while `door` runs, and returns what it returns. This is how a door stops gracefully: it goes
    /// on draining after the shutdown was requested, and `/readyz` says 503 all that time.
    ///
    /// # Errors
    /// The listener fails, which ends `door` too.
    pub async fn run_while<T>(self, door: impl Future<Output = T>) -> io::Result<T> {
        let (checks, shutdown) = (web::Data::new(self.checks), web::Data::new(self.shutdown));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(checks.clone())
                .app_data(shutdown.clone())
                .service(page("/healthz", alive))
                .service(page("/readyz", readiness::answer))
                .service(page("/metrics", metrics_text::answer))
        })
        .workers(1)
        .disable_signals()
        .shutdown_timeout(1)
        .listen(self.listener)?
        .run();
        let handle = server.handle();
        let mut server = pin!(server);
        let mut upkeep = pin!(metrics_text::keep_up());
        let mut door = pin!(door);
        let result = tokio::select! {
            result = &mut door => result,
            ended = &mut server => {
                ended?;
                return Err(io::Error::other("the admin listener ended by itself"));
            }
            () = &mut upkeep => unreachable!("upkeep never ends"),
        };
        tokio::join!(handle.stop(true), server).1?;
        Ok(result)
    }

    /// Answers until the shutdown is requested: for a process with nothing to drain.
    ///
    /// # Errors
    /// The listener fails.
    pub async fn run_until_stopped(self) -> io::Result<()> {
        let shutdown = self.shutdown.clone();
        self.run_while(async move { shutdown.requested().await }).await
    }
}

/// GET, and HEAD too, as RFC 9110 (9.1) asks of every server that has GET; 405 for every other method.
fn page<F, Args>(path: &str, answer: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let refuse = async || HttpResponse::MethodNotAllowed().insert_header((ALLOW, "GET, HEAD")).finish();
    let read = web::route().guard(Any(Get()).or(Head())).to(answer);
    web::resource(path).route(read).default_service(web::to(refuse))
}

/// The process answers, no more: a database that is down must not make an orchestrator kill it.
async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({"status": "alive"}))
}

#[cfg(test)]
mod tests;
