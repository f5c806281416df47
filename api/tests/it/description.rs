//! The description of the API, and the pages that show it.

use std::collections::HashSet;

use trunkline_testkit::OPERATOR_KEY;

use crate::house::House;

#[tokio::test]
async fn the_document_is_openapi_3_1_and_names_every_route_and_operation_once() {
    let house = House::new().await;
    let reply = house.anyone.get("/v1/openapi.json").await;
    let document = reply.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let routes = include_str!("../../src/routes.rs");
    let mut operations = HashSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        assert!(routes.contains(&format!("\"{path}\"")), "{path} is described and not served");
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(operations.insert(id.to_owned()), "{id} names two operations");
            assert!(operation["responses"].as_object().unwrap().len() > 1, "{method} {path}");
        }
    }
    let described = document["paths"].as_object().unwrap().len();
    // What is served and not described describes itself: the document, two pages and their files.
    assert_eq!(routes.matches("resource(\"").count(), described + 4);
}

#[tokio::test]
async fn every_list_takes_the_limit_it_describes_and_not_one_more() {
    let house = House::new().await;
    let operator = house.anyone.bearer(OPERATOR_KEY);
    let mut lists = 0;
    for (path, item) in trunkline_api::document()["paths"].as_object().unwrap() {
        let operation = &item["get"];
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let Some(limit) = parameters.clone().find(|parameter| parameter["name"] == "limit") else { continue };
        let nothings_id = "0".repeat(32);
        let path = path
            .replace("{event_id}", &format!("evt_{nothings_id}"))
            .replace("{erasure_id}", &format!("ers_{nothings_id}"));
        let asks_operator = operation["security"][0].get("operator").is_some();
        let client = if asks_operator { &operator } else { &house.client };
        let most = limit["schema"]["maximum"].as_u64().unwrap();
        let (taken, refused) = (
            client.get(&format!("{path}?limit={most}")).await,
            client.get(&format!("{path}?limit={}", most + 1)).await,
        );
        assert!([200, 404].contains(&taken.status), "{path} {most}: {}", taken.status);
        assert_eq!(refused.status, 400, "{path} {most} + 1");
        lists += 1;
    }
    assert!(lists > 8, "{lists}");
}

#[test]
fn every_operation_that_changes_something_says_how_bodies_are_refused() {
    let document = trunkline_api::document();
    let operations =
        document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap());
    let mut count = 0;
    for (_, operation) in operations.filter(|(method, _)| *method != "get") {
        for status in ["400", "408", "413", "415", "422"] {
            let schema = &operation["responses"][status]["content"]["application/problem+json"]["schema"];
            assert_eq!(
                schema["$ref"], "#/components/schemas/Problem",
                "{status} of {}",
                operation["operationId"]
            );
        }
        count += 1;
    }
    assert!(count > 30, "{count}");
}

#[test]
fn what_publishes_says_that_it_tells_the_rate() {
    let document = trunkline_api::document();
    for path in ["/v1/events", "/v1/events/batch"] {
        for status in ["201", "422", "429"] {
            let headers = &document["paths"][path]["post"]["responses"][status]["headers"];
            assert!(
                headers.get("RateLimit").is_some() && headers.get("RateLimit-Policy").is_some(),
                "{path} {status}"
            );
        }
        assert_eq!(document["paths"][path]["post"]["responses"]["401"].get("headers"), None);
    }
}

#[tokio::test]
async fn the_pages_ask_no_other_server_for_anything() {
    let house = House::new().await;
    for path in ["/v1/docs", "/v1/redoc"] {
        let page = house.anyone.get(path).await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
        assert!(page.header("content-security-policy").starts_with("default-src 'self'"));
        let html = String::from_utf8_lossy(&page.body).into_owned();
        assert!(!html.contains("http://") && !html.contains("https://"), "{path} refers to elsewhere");
        let sources: Vec<_> = html.split(['"']).filter(|text| text.starts_with("/v1/docs/assets/")).collect();
        assert!(!sources.is_empty());
        for source in sources {
            let asset = house.anyone.get(source).await;
            assert_eq!(asset.status, 200, "{source}");
            let headers = [("if-none-match", asset.header("etag"))];
            assert_eq!(house.anyone.send(http::Method::GET, source, "", &headers).await.status, 304);
        }
    }
}

/// The names under which the types of a file are described.
fn described_names(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if !(line.starts_with("#[derive(") && line.contains("ToSchema")) {
            continue;
        }
        let mut renamed = None;
        for line in lines.by_ref() {
            renamed =
                renamed.or(line.strip_prefix("#[schema(as = ").and_then(|rest| rest.strip_suffix(")]")));
            let declared =
                line.split_once("struct ").or(line.split_once("enum ")).filter(|_| line.starts_with("pub"));
            if let Some((_, rest)) = declared {
                let name = rest.split(|character: char| !character.is_alphanumeric()).next().unwrap();
                names.push(renamed.unwrap_or(name).to_owned());
                break;
            }
        }
    }
    names
}

#[test]
fn no_two_types_are_described_under_one_name() {
    // The document would keep one of them in silence.
    let mut names = HashSet::new();
    let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                for name in described_names(&std::fs::read_to_string(&path).unwrap()) {
                    assert!(
                        names.insert(name.clone()),
                        "{name} is described twice, once in {}",
                        path.display()
                    );
                }
            }
        }
    }
    assert!(names.len() > 20, "{names:?}");
}
