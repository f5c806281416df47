//! `trunkline listen`: an endpoint on this machine that prints what is delivered to it.

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::Context as _;
use clap::Args;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use trunkline_boot::listen::listen;
use trunkline_boot::{Clock, Shutdown};

use crate::json_text::indented;
use crate::operator::block_on;
use crate::output::{Output, printable};

/// What receivers are asked to take at most.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// What a delivery carries beside its body.
const HEADERS: [&str; 9] = [
    "content-type",
    "user-agent",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "stripe-signature",
    "trunkline-event-type",
    "trunkline-attempt",
    "traceparent",
];

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where to listen on 127.0.0.1; 0 takes a free port
    #[arg(long, value_name = "PORT", default_value_t = 9000)]
    port: u16,
    /// What to answer, 200 to 599: see what Trunkline makes of a 410 or a 503
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..=599))]
    status: u16,
}

#[derive(Clone)]
struct Printer {
    output: Output,
    status: StatusCode,
    clock: Clock,
    shutdown: Shutdown,
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    block_on(serve(options, *output))
}

async fn serve(options: &Options, output: Output) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals().context("signal handlers cannot be installed")?;
    let listener = listen(([127, 0, 0, 1], options.port).into(), "--port")?;
    let address = listener.local_addr()?;
    let printer = web::Data::new(Printer {
        output,
        status: StatusCode::from_u16(options.status)?,
        clock: Clock::new(),
        shutdown: shutdown.clone(),
    });
    output
        .progress(&format!("listening on http://{address}/ and answering {}; Ctrl-C stops", options.status));
    HttpServer::new(move || {
        App::new()
            .app_data(printer.clone())
            .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
            .default_service(web::route().to(receive))
    })
    .workers(1)
    .disable_signals()
    .shutdown_signal(async move { shutdown.requested().await })
    .shutdown_timeout(1)
    .listen(listener)?
    .run()
    .await
    .context("the listener failed")
}

async fn receive(request: HttpRequest, body: web::Bytes, printer: web::Data<Printer>) -> HttpResponse {
    let time = printer.clock.now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let delivery = to_json(&time, request.path(), request.headers(), &body);
    let printed = printer.output.result(&delivery, || describe(&delivery, &body));
    if printed.is_err() {
        // Nobody reads on: there is no point in listening on.
        printer.shutdown.trigger();
    }
    HttpResponse::build(printer.status).finish()
}

fn to_json(time: &str, path: &str, headers: &HeaderMap, body: &[u8]) -> Value {
    let header = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
    let shown: Map<String, Value> =
        HEADERS.iter().filter_map(|name| Some(((*name).to_owned(), Value::String(header(name)?)))).collect();
    let body = serde_json::from_slice(body)
        .unwrap_or_else(|_: serde_json::Error| Value::String(String::from_utf8_lossy(body).into_owned()));
    json!({
        "time": time,
        "path": path,
        "event_id": header("webhook-id"),
        "type": header("trunkline-event-type"),
        "attempt": header("trunkline-attempt").and_then(|text| text.parse::<u32>().ok()),
        "headers": shown,
        "body": body,
    })
}

/// For a person: the body indented if it is JSON, with every number and key as it came.
fn describe(delivery: &Value, body: &[u8]) -> String {
    let text = |name: &str| match &delivery[name] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut lines = vec![format!(
        "{}  {}  {}  attempt {}  {}",
        text("time"),
        text("type"),
        text("event_id"),
        text("attempt"),
        text("path")
    )];
    for (name, value) in delivery["headers"].as_object().into_iter().flatten() {
        lines.push(format!("  {name}: {}", value.as_str().unwrap_or_default()));
    }
    lines.push(match serde_json::from_slice::<&RawValue>(body) {
        Ok(json) => indented(json.get()),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    });
    format!("{}\n", printable(&lines.join("\n")))
}
