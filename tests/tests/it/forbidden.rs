//! Where deliveries may not go, they do not go (R7): hundreds of targets, each tried in every way it could be reached:
//! saved through the api, found in the table although nobody should have saved it, and by names that change what they
//! mean. `forbidden/targets.json` says which door refuses which.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use trunkline_boot::Settings;
use trunkline_egress::Lookup;
use trunkline_testkit::{
    SeededTenant, TestDatabase, eventually, publish, seed_endpoint, seed_tenant, settings,
};
use trunkline_tests::{Api, Worker};

const TARGETS: &str = include_str!("forbidden/targets.json");

/// The issue asks for so many.
const TARGETS_MIN: usize = 200;

/// The only addresses that the worker is allowed here. The rest of this machine's, on the same port, is forbidden to it.
const ALLOWED: &str = "127.77.0.0/16";

/// A worker cannot call what it cannot name in a table, whatever the api thinks of it.
const URL_LENGTH_MAX: usize = 2_048;

/// Listens on every address of this machine.
struct Trap {
    port: u16,
    met: Arc<Mutex<Vec<IpAddr>>>,
}

impl Trap {
    /// Whoever comes is sent to where they may not go.
    async fn set() -> Self {
        let listener = match TcpListener::bind("[::]:0").await {
            Ok(listener) => listener,
            // A machine without IPv6.
            Err(_) => TcpListener::bind("0.0.0.0:0").await.unwrap(),
        };
        let port = listener.local_addr().unwrap().port();
        let trap = Self { port, met: Arc::default() };
        let met = trap.met.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                met.lock().unwrap().push(stream.local_addr().unwrap().ip().to_canonical());
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n{}") && stream.read_buf(&mut head).await.unwrap_or(0) > 0
                    {
                    }
                    let answer = format!(
                        "HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1:{port}/\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                    );
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        trap
    }

    /// Connections to addresses that are allowed, and to all others.
    fn met(&self) -> (usize, Vec<IpAddr>) {
        let is_allowed =
            |address: &IpAddr| matches!(address, IpAddr::V4(v4) if v4.octets()[..2] == [127, 77]);
        let met = self.met.lock().unwrap().clone();
        let (allowed, forbidden): (Vec<_>, Vec<_>) = met.into_iter().partition(is_allowed);
        (allowed.len(), forbidden)
    }
}

/// URLs, and what their names mean the first time they are asked for, the second time, and from then on.
type Named = BTreeMap<String, Vec<Vec<IpAddr>>>;

struct Targets {
    refused_when_saved: Vec<String>,
    refused_when_called: Named,
    refused_once_rebound: Named,
}

impl Targets {
    fn read(port: u16) -> Self {
        let all: Value = serde_json::from_str(&TARGETS.replace("PORT", &port.to_string())).unwrap();
        let groups = |kind: &str| all[kind].as_object().unwrap().values().cloned();
        Self {
            refused_when_saved: groups("refused when saved")
                .flat_map(|group| serde_json::from_value::<Vec<String>>(group).unwrap())
                .collect(),
            refused_when_called: groups("refused when called")
                .flat_map(|group| serde_json::from_value::<Named>(group).unwrap())
                .collect(),
            refused_once_rebound: serde_json::from_value(all["called, and refused once they rebind"].clone())
                .unwrap(),
        }
    }

    fn count(&self) -> usize {
        self.refused_when_saved.len() + self.refused_when_called.len() + self.refused_once_rebound.len()
    }

    /// A resolver by the table. Names that are not in it mean this machine.
    fn lookup(&self) -> Lookup {
        let answers: HashMap<String, Vec<Vec<IpAddr>>> = self
            .refused_when_called
            .iter()
            .chain(&self.refused_once_rebound)
            .map(|(url, answers)| (host(url), answers.clone()))
            .collect();
        let asked: Mutex<HashMap<String, usize>> = Mutex::default();
        Arc::new(move |name| {
            let mut asked = asked.lock().unwrap();
            let times = asked.entry(name.clone()).or_default();
            let found = answers.get(&name).map_or_else(
                || vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
                |answers| answers[(*times).min(answers.len() - 1)].clone(),
            );
            *times += 1;
            Box::pin(async move { Ok(found) })
        })
    }
}

/// The host as the canonical form has it, in which the resolver is asked.
fn host(url: &str) -> String {
    let canonical = trunkline_egress::EgressPolicy::default().check_url(url).unwrap();
    canonical.host().to_owned()
}

struct House {
    database: TestDatabase,
    trap: Trap,
    targets: Targets,
    /// As installed: nothing private is allowed.
    api_settings: Settings,
    worker_settings: Settings,
}

impl House {
    async fn new() -> Self {
        let database = TestDatabase::new().await;
        let trap = Trap::set().await;
        let mut api_settings = settings(&database);
        api_settings.egress.allow = Vec::new();
        // Twice: a name may mean something else the second time.
        api_settings.delivery.retry_schedule = vec![Duration::from_millis(50)];
        let mut worker_settings = api_settings.clone();
        worker_settings.egress.allow = vec![ALLOWED.parse().unwrap()];
        let targets = Targets::read(trap.port);
        Self { database, trap, targets, api_settings, worker_settings }
    }

    async fn worker(&self) -> Worker {
        Worker::start_asking(&self.worker_settings, self.targets.lookup()).await
    }

    /// Puts endpoints into the table, past every check.
    async fn smuggle(&self, tenant: &SeededTenant, urls: impl Iterator<Item = &String>) {
        for (number, url) in urls.enumerate() {
            let name = format!("smuggled-{number}");
            seed_endpoint(&self.database, &self.api_settings, tenant, &name, url).await;
        }
    }
}

#[tokio::test]
async fn a_target_that_is_refused_when_saved_leaves_nothing_behind() {
    let house = House::new().await;
    let acme = seed_tenant(&house.database, &house.api_settings, "acme", "https://example.com/").await;
    let api = Api::start(&house.api_settings).await;
    let tenant = api.client.bearer(&acme.api_key);
    let too_long = format!("https://example.com/{}", "a".repeat(URL_LENGTH_MAX));
    for url in house.targets.refused_when_saved.iter().chain([&too_long]) {
        let body = json!({"name": "new", "url": url}).to_string();
        let created = tenant.post("/v1/endpoints", body).await;
        assert_eq!((created.status, &created.json()["errors"][0]["field"]), (422, &json!("url")), "{url:?}");
        let changed = tenant.patch("/v1/tenants/current", json!({"target_url": url}).to_string()).await;
        assert_eq!(changed.status, 422, "{url:?}");
    }
    let kept = house.database.text("SELECT string_agg(url, ' ') FROM trunkline.endpoints").await;
    assert_eq!(kept, "https://example.com/");
    api.stop().await;
}

#[tokio::test]
async fn no_connection_is_made_to_an_address_that_is_forbidden() {
    let house = House::new().await;
    let (trap, targets) = (&house.trap, &house.targets);
    assert!(targets.count() >= TARGETS_MIN, "{} targets", targets.count());
    let seeded = seed_tenant(&house.database, &house.api_settings, "smuggler", "http://127.0.0.1/").await;
    // What PostgreSQL's text cannot hold needs no second refusal.
    let storable = targets.refused_when_saved.iter().filter(|url| !url.contains('\0'));
    house.smuggle(&seeded, storable.chain(targets.refused_when_called.keys())).await;
    let turning = seed_tenant(&house.database, &house.api_settings, "turncoat", "http://127.0.0.1/").await;
    house.smuggle(&turning, targets.refused_once_rebound.keys()).await;
    for tenant in [&seeded, &turning] {
        publish(&house.database, tenant, "{}").await;
    }
    let worker = house.worker().await;
    eventually("every delivery has used its budget up", async || {
        let open = "SELECT count(*) FROM trunkline.deliveries WHERE due_at IS NOT NULL OR attempts < 2";
        (house.database.text(open).await == "0").then_some(())
    })
    .await;
    worker.stop().await;

    for (url, outcomes) in outcomes(&house.database).await {
        let rebinds = targets.refused_once_rebound.contains_key(&url);
        let expected = if rebinds { "rejected blocked" } else { "blocked blocked" };
        assert_eq!(outcomes, expected, "{url:?}");
    }
    let (allowed, forbidden) = trap.met();
    assert_eq!(
        allowed,
        targets.refused_once_rebound.len(),
        "each name was called while it meant what is allowed"
    );
    assert!(forbidden.is_empty(), "connected to {forbidden:?}");
}

#[tokio::test]
async fn a_name_of_a_forbidden_address_can_be_saved_and_its_test_is_blocked() {
    let house = House::new().await;
    let acme = seed_tenant(&house.database, &house.api_settings, "acme", "https://example.com/").await;
    let api = Api::start(&house.api_settings).await;
    let tenant = api.client.bearer(&acme.api_key);
    let worker = house.worker().await;
    for (number, url) in house.targets.refused_when_called.keys().enumerate() {
        let body = json!({"name": format!("named-{number}"), "url": url}).to_string();
        let created = tenant.post("/v1/endpoints", body).await;
        assert_eq!(created.status, 201, "{url}: {}", String::from_utf8_lossy(&created.body));
        let path =
            format!("/v1/endpoints/{}/test", created.json()["endpoint"]["endpoint_id"].as_str().unwrap());
        let tested = tenant.post(&path, "").await.json();
        assert_eq!(
            (&tested["status"], &tested["attempts"][0]["outcome"]),
            (&json!("FAILED"), &json!("blocked")),
            "{url}: {tested}"
        );
        let reason = tested["attempts"][0]["error"].as_str().unwrap();
        assert!(
            reason.contains("has an address that deliveries may not reach") && !reason.contains(" is a"),
            "{url}: {reason}"
        );
    }
    let (allowed, forbidden) = house.trap.met();
    assert_eq!((allowed, forbidden), (0, Vec::new()));
    worker.stop().await;
    api.stop().await;
}

/// What makes the other tests worth something.
#[tokio::test]
async fn the_trap_sees_whoever_is_allowed_to_come() {
    let mut house = House::new().await;
    house.worker_settings.egress.allow = vec!["127.0.0.0/8".parse().unwrap()];
    let tenant = seed_tenant(&house.database, &house.api_settings, "acme", "http://127.0.0.1/").await;
    let url = format!("http://one-1.example:{}/", house.trap.port);
    house.smuggle(&tenant, [url].iter()).await;
    publish(&house.database, &tenant, "{}").await;
    let worker = house.worker().await;
    let forbidden = eventually("somebody came", async || {
        let (_, forbidden) = house.trap.met();
        (!forbidden.is_empty()).then_some(forbidden)
    })
    .await;
    assert_eq!(forbidden[0], Ipv4Addr::LOCALHOST);
    worker.stop().await;
}

/// Every URL in the table with the outcomes of its attempts, in order.
async fn outcomes(database: &TestDatabase) -> Vec<(String, String)> {
    let told = database
        .text(
            "SELECT json_agg(json_build_array(url, outcomes)) FROM (
                 SELECT e.url, string_agg(a.outcome::text, ' ' ORDER BY a.attempt) AS outcomes
                 FROM trunkline.endpoints e JOIN trunkline.attempts a USING (tenant_id, endpoint_id)
                 GROUP BY e.endpoint_id, e.url) told",
        )
        .await;
    serde_json::from_str(&told).unwrap()
}
