//! Every parameter and every field that the description names, with values that no statement may ever see: what the database would
//! refuse is refused before it (the database of the test complains of any).

use http::{HeaderValue, Method};
use serde_json::Value;
use trunkline_testkit::{Client, OPERATOR_KEY};

use crate::house::House;
use crate::isolation::{body, furnished};

/// For paths and queries, as they are written in an address.
pub(crate) const TEXTS: [&str; 32] = [
    "x",
    "%00",
    "%ff",
    "%F0%9F%98%80",
    "%27",
    "%27%3B%20DROP%20TABLE%20trunkline.events%3B--",
    "..",
    "%2e%2e",
    "%0a",
    "null",
    "-1",
    "0",
    "1e9",
    "99999999999999999999",
    "NaN",
    "infinity",
    "-infinity",
    "epoch",
    "now",
    "0000-00-00T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "%2B262143-01-01T00:00:00Z",
    "-262144-01-01T00:00:00Z",
    "294277-01-01T00:00:00Z",
    "{}",
    "%25",
    "%5C",
    "evt_",
    "ep_%00",
    "01a20ada2c007abc8123456789abcdef",
    "evt_01a20ada2c007abc8123456789abcdeg",
    "evt_01A20ADA2C007ABC8123456789ABCDEF",
];

/// For headers.
const VALUES_OF_HEADERS: [&str; 10] = [
    "",
    " ",
    "x",
    "-1",
    "%00",
    "a,b",
    "infinity",
    "+262143-01-01T00:00:00Z",
    "-262144-01-01T00:00:00Z",
    "'\";--\\",
];

/// For fields of a body, as JSON.
pub(crate) const VALUES: [&str; 25] = [
    "null",
    "true",
    "-1",
    "1e400",
    "99999999999999999999",
    "0.5",
    "[]",
    "{}",
    "[null]",
    "\"\"",
    "\" \"",
    "\"\\u0000\"",
    "\"a\\u0000b\"",
    "\"\\ud800\"",
    "\"\\r\\nx: y\"",
    "\"infinity\"",
    "\"+262143-01-01T00:00:00Z\"",
    "\"-262144-01-01T00:00:00Z\"",
    "[\"\\u0000\"]",
    "{\"a\":\"\\u0000\"}",
    "{\"\\u0000\":\"a\"}",
    "{\"host\":\"a\"}",
    "{\"a\":{}}",
    "0",
    "2147483648",
];

#[tokio::test]
async fn every_parameter_is_checked_before_any_statement() {
    let scene = Scene::new().await;
    let long = "a".repeat(5_000);
    let texts: Vec<&str> = TEXTS.into_iter().chain([long.as_str()]).collect();
    let mut tried = 0;
    for operation in scene.operations() {
        for parameter in &operation.parameters {
            let (name, place) = (parameter["name"].as_str().unwrap(), parameter["in"].as_str().unwrap());
            for text in if place == "header" { VALUES_OF_HEADERS.to_vec() } else { texts.clone() } {
                let mut path = operation.path.clone();
                if place == "path" {
                    path = path.replace(&format!("{{{name}}}"), text);
                }
                path = scene.with_names(&path);
                if place == "query" {
                    path = format!("{path}?{name}={text}");
                }
                let header = HeaderValue::from_str(text).ok().filter(|_| place == "header");
                let header = header.as_ref().map(|value| (name, value.to_str().unwrap()));
                let body = operation.body.as_ref().map(Value::to_string).unwrap_or_default();
                scene.send(&operation, &path, body, header).await;
                tried += 1;
            }
        }
    }
    assert!(tried > 1_500, "{tried}");
}

#[tokio::test]
async fn every_field_is_checked_before_any_statement() {
    let scene = Scene::new().await;
    let mut tried = 0;
    for operation in scene.operations() {
        let (Some(good), Some(schema)) = (&operation.body, &operation.schema) else { continue };
        let path = scene.with_names(&operation.path);
        for field in scene.fields(schema) {
            for value in VALUES {
                scene.send(&operation, &path, with(good, &field, value), None).await;
                tried += 1;
            }
        }
        if operation.id == "publishBatch" {
            for field in scene.fields("BatchItem") {
                for value in VALUES {
                    let item = with(&good["events"][0], &field, value);
                    scene.send(&operation, &path, format!("{{\"events\":[{item}]}}"), None).await;
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 1_500, "{tried}");
}

/// The object with that field, whose value is JSON of a kind that a document could not hold.
fn with(good: &Value, field: &str, value: &str) -> String {
    let others = good.as_object().unwrap().iter().filter(|(name, _)| *name != field);
    let others = others.map(|(name, value)| format!(",{}:{value}", Value::from(name.as_str())));
    format!("{{{}:{value}{}}}", Value::from(field), others.collect::<String>())
}

/// An operation, and a body that it takes.
struct Operation {
    id: String,
    method: Method,
    path: String,
    parameters: Vec<Value>,
    body: Option<Value>,
    schema: Option<String>,
    is_operators: bool,
}

struct Scene {
    house: House,
    operator: Client,
    document: Value,
    names: Vec<(&'static str, String)>,
}

impl Scene {
    async fn new() -> Self {
        let (house, names) = furnished().await;
        // Nothing here is about rates.
        house.database.execute("UPDATE trunkline.tenants SET rate_per_second = 0").await;
        let operator = house.anyone.bearer(OPERATOR_KEY);
        Self { house, operator, document: trunkline_api::document(), names }
    }

    fn named(&self, name: &str) -> String {
        self.names.iter().find(|(known, _)| *known == name).unwrap().1.clone()
    }

    fn with_names(&self, path: &str) -> String {
        let fill = |path: String, (name, value): &(&str, String)| path.replace(&format!("{{{name}}}"), value);
        self.names.iter().fold(path.to_owned(), fill)
    }

    fn operations(&self) -> Vec<Operation> {
        let mut operations = Vec::new();
        for (path, item) in self.document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap().to_owned();
                let schema = operation.pointer("/requestBody/content/application~1json/schema/$ref");
                operations.push(Operation {
                    method: method.to_uppercase().parse().unwrap(),
                    path: path.clone(),
                    parameters: operation["parameters"].as_array().cloned().unwrap_or_default(),
                    body: body(&id, |name| self.named(name)),
                    schema: schema.map(|name| name.as_str().unwrap().rsplit('/').next().unwrap().to_owned()),
                    is_operators: operation["security"][0].get("operator").is_some(),
                    id,
                });
            }
        }
        operations
    }

    fn fields(&self, schema: &str) -> Vec<String> {
        let properties = &self.document["components"]["schemas"][schema]["properties"];
        properties.as_object().unwrap_or_else(|| panic!("{schema}")).keys().cloned().collect()
    }

    /// Whatever it is answered, it is not that the service failed.
    async fn send(&self, operation: &Operation, path: &str, body: String, header: Option<(&str, &str)>) {
        let shown: String =
            format!("{} {path} {header:?} {body}", operation.method).chars().take(300).collect();
        let headers: Vec<_> = [("content-type", "application/json")].into_iter().chain(header).collect();
        let client = if operation.is_operators { &self.operator } else { &self.house.client };
        trunkline_testkit::eventually("the service has time for it", async || {
            let reply = client.send(operation.method.clone(), path, body.clone(), &headers).await;
            let status = reply.status;
            assert!(status < 500 || status == 503, "{status} for {shown}");
            (status != 503).then_some(())
        })
        .await;
    }
}
