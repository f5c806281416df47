//! The ceiling of ingest: a bare actix-web handler that reads and parses the same body and does nothing with it.

use std::io::Write;

use actix_web::web::Bytes;
use actix_web::{App, HttpResponse, HttpServer, web};

/// Answers like the API does.
const ANSWER: &str = r#"{"event_id":"evt_00000000000000000000000000000000","status":"PENDING"}"#;

/// Says its port on standard output and serves until it is stopped, with as many threads as the API has: one a core.
pub(crate) fn run() -> anyhow::Result<()> {
    actix_web::rt::System::new().block_on(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
        let server = HttpServer::new(|| App::new().route("/v1/events", web::post().to(take)));
        Ok(server.listen(listener)?.run().await?)
    })
}

async fn take(body: Bytes) -> HttpResponse {
    match serde_json::from_slice::<serde_json::Value>(&body) {
        Ok(value) if value.is_object() => {
            HttpResponse::Created().content_type("application/json").body(ANSWER)
        }
        _ => HttpResponse::BadRequest().finish(),
    }
}
