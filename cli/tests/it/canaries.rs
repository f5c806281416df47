//! R11: no secret leaves. Every secret of an installation is one that the test knows; it lives a full life, with everything
//! logged that can be, and then all that came out is searched for all of them.

use std::collections::BTreeMap;
use std::process::Command;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use serde_json::{Value, json};

use crate::catcher::Catcher;
use crate::installation::{Door, Installation};
use crate::process::{eventually, json as run_json, text};

const OPERATOR_KEY: &str = "operator-canary-7d1c0a9e";
const SEALING_KEY: &str = "Y2FuYXJ5LW9mLTMyLWJ5dGVzLWZvci1zZWFsaW5nLTE=";
/// base64 of "canary-of-the-first-signing-key"
const CHOSEN_SECRET: &str = "whsec_Y2FuYXJ5LW9mLXRoZS1maXJzdC1zaWduaW5nLWtleQ==";
const ROTATED_SECRET: &str = "canary-of-the-second-signing-secret";
const PATCHED_SECRET: &str = "canary-of-the-third-signing-secret";
const PROXY_PASSWORD: &str = "proxy-canary-e81d";
const HEADER_VALUE: &str = "Bearer header-canary-4f2b";
const PAYLOAD: &str = "payload-canary-93be";
const URL_PASSWORD: &str = "url-canary-52aa";
const IDEMPOTENCY_KEY: &str = "idempotency-canary-17";
const COLLECTOR_KEY: &str = "collector-canary-b06d";
const FORGED_KEY: &str = "tl_forged-canary-0123456789abcdefghijklmnopqrstuvwx";

/// A secret, in every form in which a log or a dump could show it.
struct Canary {
    name: String,
    forms: Vec<String>,
}

impl Canary {
    fn new(name: &str, value: &str) -> Self {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD_NO_PAD;

        let mut forms = vec![value.to_owned(), hex::encode(value)];
        // Its base64 looks different at each of three offsets; the ends mix with their neighbours.
        for offset in 0..3 {
            let padded = [vec![0; offset], value.as_bytes().to_vec()].concat();
            let whole = STANDARD_NO_PAD.encode(&padded);
            forms.push(whole[4..whole.len() - 4].to_owned());
        }
        // A secret that is base64 itself can show as the bytes it stands for.
        let encoded = value.rsplit(['_', ':']).next().unwrap();
        // One of a few characters would be found anywhere.
        let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).ok();
        if let Some(bytes) = decoded.filter(|bytes| bytes.len() >= 24) {
            forms.push(hex::encode(&bytes));
            forms.extend(String::from_utf8(bytes));
        }
        Self { name: name.to_owned(), forms }
    }

    fn is_in(&self, haystack: &str) -> bool {
        self.forms.iter().any(|form| haystack.contains(form))
    }
}

/// All that came out, by what it is.
#[derive(Default)]
struct Output(BTreeMap<String, String>);

impl Output {
    fn add(&mut self, place: &str, text: &str) {
        let place = self.0.entry(place.to_owned()).or_default();
        place.push_str(text);
        place.push('\n');
    }

    /// Where each canary shows, but for what `is_allowed` says of its name and the place.
    fn hits(&self, canaries: &[Canary], is_allowed: impl Fn(&str, &str) -> bool) -> Vec<String> {
        let mut hits = Vec::new();
        for (place, text) in &self.0 {
            for canary in canaries.iter().filter(|canary| canary.is_in(text)) {
                if !is_allowed(&canary.name, place) {
                    hits.push(format!("{} in {place}", canary.name));
                }
            }
        }
        hits
    }
}

/// A client that keeps each answer it gets.
struct Client<'a> {
    api: &'a str,
    output: Output,
}

impl Client<'_> {
    /// Calls, expects the status, and keeps the answer, headers and all.
    fn call(&mut self, method: &str, path: &str, key: &str, body: Option<&str>, status: u16) -> Value {
        let answer = self.ask(method, path, key, body, status);
        self.output.add("an answer of the api", &answer);
        serde_json::from_str(answer.split_once("\n\n").map_or("", |(_, body)| body)).unwrap_or(Value::Null)
    }

    /// The same of an answer that is there to show a secret to its owner.
    fn call_for_secret(&mut self, method: &str, path: &str, key: &str, body: &str, status: u16) -> Value {
        let answer = self.ask(method, path, key, Some(body), status);
        serde_json::from_str(answer.split_once("\n\n").unwrap().1).unwrap()
    }

    fn ask(&self, method: &str, path: &str, key: &str, body: Option<&str>, status: u16) -> String {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.api) };
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .proxy(None)
            .build()
            .new_agent();
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(&url)
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", "application/json");
        // A batch has keys in its items, and refuses one of its own.
        if path != "/v1/events/batch" {
            request = request.header("idempotency-key", IDEMPOTENCY_KEY);
        }
        let answer = match body.filter(|body| !body.is_empty()) {
            Some(body) => agent.run(request.body(body.to_owned()).unwrap()),
            None => agent.run(request.body(()).unwrap()),
        };
        let mut answer = answer.unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        assert_eq!(answer.status().as_u16(), status, "{method} {path}: {text}");
        format!("{:?}\n\n{text}", answer.headers())
    }
}

#[test]
fn no_secret_shows_in_logs_metrics_traces_errors_pages_statements_or_a_dump() {
    let collector = Catcher::start(&[]);
    let collector_headers = format!("x-collector-key={COLLECTOR_KEY}");
    let sealing_keys = format!("canary:{SEALING_KEY}");
    let mut installation = Installation::open(
        &[("log_statement", "all"), ("log_min_duration_statement", "0")],
        &[
            ("TRUNKLINE__OPERATOR__KEYS", OPERATOR_KEY),
            ("TRUNKLINE__SECRETS__KEYS", &sealing_keys),
            ("TRUNKLINE__LOG__FILTER", "trace"),
            ("TRUNKLINE__TELEMETRY__OTLP_ENDPOINT", &collector.url("")),
            ("TRUNKLINE__TELEMETRY__OTLP_HEADERS", &collector_headers),
            ("TRUNKLINE__DELIVERY__RETRY_SCHEDULE", "100ms"),
        ],
    );
    let (api, receiver) = (installation.start("api"), installation.start("receiver"));
    installation.set("TRUNKLINE__LOG__FORMAT", "json");
    let worker = installation.start("worker");

    let mut client = Client { api: &api.url, output: Output::default() };
    let (api_key, mut canaries) = life(&mut client, &mut installation, &receiver);
    let password = installation.database_url().split_once(':').unwrap().1;
    let password = password.split_once(':').unwrap().1.split_once('@').unwrap().0;
    canaries.push(Canary::new("the database's password", password));

    let log_of_worker = worker.stop();
    let worker = through_a_proxy(&mut client, &mut installation, &api_key);

    let mut output = client.output;
    output.add("the log of the worker", &log_of_worker);
    for command in [
        &["doctor"][..],
        &["key", "list", "acme"],
        &["audit", "--json"],
        &["top", "--once"],
        &["tenant", "list", "--json"],
        &["secrets", "status"],
        &["tenant", "create", "acme", "--target-url", &format!("https://u:{URL_PASSWORD}@example.com/")],
    ] {
        let ran = installation.run(command);
        output.add("the command line", &format!("{}{}", text(&ran.stdout), text(&ran.stderr)));
    }
    let listed =
        installation.command(&["events", "list", "--api-key", &api_key, "--api-url", &api.url]).output();
    output.add("the command line", &text(&listed.unwrap().stdout));
    for (role, door) in [("api", api), ("worker", worker), ("receiver", receiver)] {
        let metrics = crate::http::get(&format!("{}/metrics", door.admin_url), None).1;
        assert!(!metrics.is_empty());
        output.add("metrics", &metrics);
        let log = door.stop();
        assert!(log.contains("TRACE"), "{role} was to log everything");
        output.add(&format!("the log of the {role}"), &log);
    }
    add_traces(&mut output, &collector);
    add_statements(&mut output, &installation.server_log());
    add_dump(&mut output, installation.database_url());
    add_views(&mut output, &mut installation);

    let is_allowed = |canary: &str, place: &str| match canary {
        // A DBA is a user: payloads and idempotency keys are theirs to read, in one table each.
        "the payload" => {
            ["a dump of payloads", "the view events"].iter().any(|own| place.starts_with(own))
                || place == "parameters of statements"
        }
        "the idempotency key" => place.contains("idempotency_keys") || place == "parameters of statements",
        _ => false,
    };
    let hits = output.hits(&canaries, is_allowed);
    assert!(hits.is_empty(), "{hits:#?}");

    // The search can find: what was planted is found, in the clear and in every disguise of a dump.
    for canary in &canaries {
        for form in &canary.forms {
            let mut planted = Output::default();
            planted.add("a log", &format!("and then {form} was seen"));
            assert!(!planted.hits(&canaries, is_allowed).is_empty(), "{}", canary.name);
        }
    }
    let payload = canaries.iter().find(|canary| canary.name == "the payload").unwrap();
    let tables = output
        .0
        .iter()
        .filter(|(place, text)| place.starts_with("a dump of payloads") && payload.is_in(text));
    assert!(tables.count() > 0, "the dump was searched where something is to be found");
}

/// Creates, publishes, fails, retries, rotates, revokes, and does wrong what can be done wrong. Answers a tenant's key, and
/// the canaries.
fn life(client: &mut Client<'_>, installation: &mut Installation, receiver: &Door) -> (String, Vec<Canary>) {
    let target = format!("{}/acme/webhook", receiver.url);
    let tenant =
        json!({"tenant_id": "acme", "target_url": target, "webhook_secret": CHOSEN_SECRET}).to_string();
    let made = client.call_for_secret("POST", "/v1/tenants", OPERATOR_KEY, &tenant, 201);
    let api_key = made["api_key"].as_str().unwrap().to_owned();
    client.call("POST", "/v1/tenants", OPERATOR_KEY, Some(&tenant), 409);
    let key = json!({"name": "second", "scopes": ["read"]}).to_string();
    let second = client.call_for_secret("POST", "/v1/api-keys", &api_key, &key, 201);
    let second_key = second["api_key"].as_str().unwrap().to_owned();

    // An endpoint that nobody answers at, with a credential.
    let endpoint = json!({"name": "dead", "url": "http://127.0.0.1:1024/", "custom_headers": {"Authorization": HEADER_VALUE}});
    let dead = client.call_for_secret("POST", "/v1/endpoints", &api_key, &endpoint.to_string(), 201);
    let generated = dead["webhook_secret"].as_str().unwrap().to_owned();
    let dead = format!("/v1/endpoints/{}", dead["endpoint"]["endpoint_id"].as_str().unwrap());
    client.call("POST", "/v1/endpoints", &api_key, Some(&endpoint.to_string()), 409);
    let rotation = json!({"webhook_secret": ROTATED_SECRET}).to_string();
    client.call_for_secret("POST", &format!("{dead}/rotate-secret"), &api_key, &rotation, 200);
    client.call("PATCH", &dead, &api_key, Some(r#"{"description":"changed"}"#), 200);

    // Wrong, with secrets in it. Names of members are told to whoever sent them; what they hold is not.
    for (path, key, body, status) in [
        ("/v1/endpoints", &*api_key, json!({"name": "x", "url": format!("https://u:{URL_PASSWORD}@example.com/")}).to_string(), 422),
        ("/v1/endpoints", &api_key, json!({"name": "x", "url": "https://example.com/", "custom_headers": {"host": HEADER_VALUE}}).to_string(), 422),
        ("/v1/endpoints", &api_key, json!({"name": "x", "url": "https://example.com/", "webhook_secret": format!("{CHOSEN_SECRET}!")}).to_string(), 422),
        ("/v1/endpoints", &api_key, json!({"webhook_secret": {"not": ROTATED_SECRET}}).to_string(), 422),
        ("/v1/tenants", &api_key, tenant.clone(), 403),
        ("/v1/events", &second_key, json!({"a": PAYLOAD}).to_string(), 403),
        ("/v1/events", FORGED_KEY, json!({"a": PAYLOAD}).to_string(), 401),
        ("/v1/events", &api_key, format!(r#"{{"named":"{PAYLOAD}","named":2}}"#), 422),
        ("/v1/events", &api_key, format!(r#"["{PAYLOAD}"]"#), 422),
        ("/v1/events/batch", &api_key, json!({"events": [{"payload": {"a": PAYLOAD}, "unknown": PAYLOAD}]}).to_string(), 422),
    ] {
        client.call("POST", path, key, Some(&body), status);
    }

    // Published, delivered to the one and failed at the other, retried, replayed, again, in another form.
    let payload = json!({"type": "canary.sings", "a": PAYLOAD}).to_string();
    let event = client.call("POST", "/v1/events", &api_key, Some(&payload), 201);
    let event = format!("/v1/events/{}", event["event_id"].as_str().unwrap());
    client.call("POST", "/v1/events", &api_key, Some(&payload), 201);
    client.call("POST", "/v1/events", &api_key, Some(&json!({"b": PAYLOAD}).to_string()), 422);
    let delivered = "SELECT count(*) FROM trunkline.deliveries WHERE status = 'DELIVERED'";
    eventually("the receiver has it", || (installation.sql(delivered) == "1").then_some(()));
    let failed = "SELECT count(*) FROM trunkline.deliveries WHERE status = 'FAILED' AND due_at IS NULL";
    eventually("the dead endpoint has used up its budget", || {
        (installation.sql(failed) == "1").then_some(())
    });
    client.call("POST", &format!("{event}/retry"), &api_key, None, 200);
    eventually("it failed again", || (installation.sql(failed) == "1").then_some(()));
    client.call_for_secret("GET", &event, &api_key, "", 200);
    for path in [
        "/v1/events",
        "/v1/endpoints",
        "/v1/api-keys",
        "/v1/dead-letters",
        "/v1/stats",
        "/v1/tenants/current",
        "/v1/openapi.json",
        "/v1/docs",
        &dead,
        &format!("{event}/attempts"),
        &format!("{event}/explain"),
        &format!("{dead}/stats"),
    ] {
        client.call("GET", path, &api_key, None, 200);
    }
    client.call("GET", "/v1/audit", OPERATOR_KEY, None, 200);
    let exported = client.ask("GET", "/v1/events/export", &api_key, None, 200);
    assert!(exported.contains(PAYLOAD), "an export shows payloads to whoever published them");
    client.output.add("an answer of the api", &exported.replace(PAYLOAD, ""));
    client.call("GET", &format!("{}/acme/received", receiver.url), &api_key, None, 200);
    client.call("GET", &format!("{}/acme/received", receiver.url), FORGED_KEY, None, 401);
    client.call("POST", &target, &api_key, Some(&payload), 401);

    // The database refuses a row, and tells which; then it is not what a door expects.
    installation.sql("ALTER TABLE trunkline.payloads ADD CONSTRAINT canary CHECK (false) NOT VALID");
    client.output.add("an answer of the api", &refused(client, &api_key));
    installation.sql("ALTER TABLE trunkline.payloads DROP CONSTRAINT canary");
    installation.sql("ALTER TABLE trunkline.endpoint_secrets RENAME TO elsewhere");
    let sealed_anew = json!({"webhook_secret": ROTATED_SECRET}).to_string();
    client.call("POST", &format!("{dead}/rotate-secret"), &api_key, Some(&sealed_anew), 500);
    client.call("POST", &target, &api_key, Some(&payload), 401);
    installation.sql("ALTER TABLE trunkline.elsewhere RENAME TO endpoint_secrets");

    // A token holds its list's filter, sealed.
    let two = json!({"events": [{"payload": {"a": PAYLOAD}}, {"payload": {"a": PAYLOAD}}]}).to_string();
    client.call("POST", "/v1/events/batch", &api_key, Some(&two), 201);
    let list = format!("/v1/events?limit=1&payload=a:{PAYLOAD}");
    // The answer's Link repeats to whoever asks what it asked for.
    let page = client.ask("GET", &list, &api_key, None, 200).split_once("\n\n").unwrap().1.to_owned();
    client.output.add("an answer of the api", &page);
    let page: Value = serde_json::from_str(&page).unwrap();
    let token = page["next_token"].as_str().unwrap();
    client.ask("GET", &format!("{list}&next_token={token}"), &api_key, None, 200);
    client.call("GET", &format!("/v1/events?next_token={token}"), &api_key, None, 400);
    let patch = json!({"webhook_secret": PATCHED_SECRET}).to_string();
    client.call("PATCH", "/v1/tenants/current", &api_key, Some(&patch), 200);
    let patch = json!({"webhook_secret": format!("{PATCHED_SECRET} ")}).to_string();
    client.call("PATCH", "/v1/tenants/current", &api_key, Some(&patch), 422);

    let key_id = second["key_id"].as_str().unwrap();
    client.call("DELETE", &format!("/v1/api-keys/{key_id}"), &api_key, None, 200);
    client.call("GET", "/v1/events", &second_key, None, 401);
    run_json(&installation.run(&["secrets", "reencrypt", "--json"]));
    let canaries = [
        ("the operator's key", OPERATOR_KEY),
        ("the sealing key", SEALING_KEY),
        ("the tenant's key", &*api_key),
        ("the revoked key", &second_key),
        ("the forged key", FORGED_KEY),
        ("the chosen secret", CHOSEN_SECRET),
        ("the generated secret", &generated),
        ("the rotated secret", ROTATED_SECRET),
        ("the patched secret", PATCHED_SECRET),
        ("the proxy's password", PROXY_PASSWORD),
        ("the header's value", HEADER_VALUE),
        ("the password of a URL", URL_PASSWORD),
        ("the payload", PAYLOAD),
        ("the idempotency key", IDEMPOTENCY_KEY),
        ("the collector's key", COLLECTOR_KEY),
    ];
    let canaries = canaries.iter().map(|(name, value)| Canary::new(name, value)).collect();
    (api_key, canaries)
}

/// A worker that is told of a proxy with a password, once it has sent something through it.
fn through_a_proxy(client: &mut Client<'_>, installation: &mut Installation, api_key: &str) -> Door {
    use base64::Engine as _;

    let proxy = Catcher::start(&[]);
    installation
        .set("TRUNKLINE__EGRESS__PROXY", &proxy.url("").replace("//", &format!("//us:{PROXY_PASSWORD}@")));
    let worker = installation.start("worker");
    client.call("POST", "/v1/events/batch", api_key, Some(r#"{"events":[{"payload":{}}]}"#), 201);
    let told = base64::engine::general_purpose::STANDARD.encode(format!("us:{PROXY_PASSWORD}"));
    eventually("the proxy was told the password", || {
        let told = format!("Basic {told}");
        proxy.all().iter().any(|call| call.header("proxy-authorization") == told).then_some(())
    });
    worker
}

/// Publishes what cannot be stored.
fn refused(client: &Client<'_>, api_key: &str) -> String {
    let body = json!({"events": [{"payload": {"c": PAYLOAD}}]}).to_string();
    client.ask("POST", "/v1/events/batch", api_key, Some(&body), 500)
}

/// Every byte that the collector got; a door sends the last of its spans when it stops. Only the header that carries its key shows that.
fn add_traces(output: &mut Output, collector: &Catcher) {
    let mut spans = Vec::new();
    for request in collector.all() {
        assert_eq!(request.header("x-collector-key"), COLLECTOR_KEY);
        for (name, value) in request.headers.iter().filter(|(name, _)| name != "x-collector-key") {
            output.add("traces", &format!("{name}: {value}"));
        }
        // A text stands in it as it is, between the bytes of its frame.
        output.add("traces", &format!("{}\n{}", request.path, text(&request.body)));
        let export = ExportTraceServiceRequest::decode(request.body.as_slice()).unwrap();
        let scopes = export.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        spans.extend(scopes.flat_map(|scope| scope.spans).map(|span| span.name));
    }
    for name in ["POST /v1/events", "POST /v1/endpoints", "attempt"] {
        assert!(spans.iter().any(|span| span == name), "no span {name}: {spans:?}");
    }
}

/// The server's log apart: the text of statements, and what they were given. An error's detail quotes a row, to the DBA
/// alone.
fn add_statements(output: &mut Output, log: &str) {
    let mut place = "statements";
    let mut count = 0;
    for line in log.lines() {
        // Every record starts with its time; what follows belongs to it.
        if line.starts_with("20") {
            let is_detail = line.contains("DETAIL:");
            place = if is_detail { "parameters of statements" } else { "statements" };
            count += usize::from(line.contains("execute"));
        }
        output.add(place, line);
    }
    assert!(count > 100, "the server was to log every statement: {count}");
}

/// What readers see, view by view.
fn add_views(output: &mut Output, installation: &mut Installation) {
    let views = "SELECT string_agg(viewname, ' ') FROM pg_views WHERE schemaname = 'trunkline_read'";
    let views = installation.sql(views);
    assert!(views.contains("events"), "{views}");
    for view in views.split(' ') {
        let rows = format!(
            "SELECT coalesce(string_agg(row_to_json(v)::text, chr(10)), '') FROM trunkline_read.{view} AS v"
        );
        output.add(&format!("the view {view}"), &installation.sql(&rows));
    }
}

/// A dump in plain text, table by table.
fn add_dump(output: &mut Output, database_url: &str) {
    let dump = Command::new("pg_dump").args(["--schema=trunkline", "--dbname", database_url]).output();
    let dump = dump.expect("pg_dump is there, as PostgreSQL's client programs bring it");
    assert!(dump.status.success(), "{}", text(&dump.stderr));
    let mut place = "a dump of definitions".to_owned();
    for line in text(&dump.stdout).lines() {
        if let Some(table) = line.strip_prefix("COPY trunkline.") {
            place = format!("a dump of {}", table.split(' ').next().unwrap());
        }
        output.add(&place, line);
    }
}
