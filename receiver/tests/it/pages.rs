use serde_json::{Value, json};

use crate::house::House;

#[tokio::test]
async fn health_names_the_service() {
    let house = House::new().await;
    let reply = house.replica.client.get("/health").await;
    assert_eq!(
        (reply.status, reply.json()),
        (200, json!({"status": "healthy", "service": "webhook-receiver"}))
    );
}

#[tokio::test]
async fn every_route_is_described_and_the_page_needs_no_script() {
    let house = House::new().await;
    let document = house.replica.client.get("/openapi.json").await;
    assert_eq!(document.header("content-type"), "application/json");
    let document = document.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let page = house.replica.client.get("/docs").await;
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"));

    for (method, path) in [
        ("post", "/{tenant_id}/webhook"),
        ("post", "/{tenant_id}/webhook/{name}"),
        ("get", "/{tenant_id}/received"),
        ("get", "/{tenant_id}/status"),
        ("post", "/{tenant_id}/enable"),
        ("post", "/{tenant_id}/disable"),
        ("get", "/status"),
        ("post", "/enable"),
        ("post", "/disable"),
        ("get", "/health"),
        ("get", "/docs"),
        ("get", "/openapi.json"),
    ] {
        assert!(document["paths"][path][method].is_object(), "{method} {path}");
        assert!(page.contains(&format!("{} {path}", method.to_uppercase())), "{method} {path}");
    }
    assert_eq!(document["paths"].as_object().unwrap().len(), 12);
    assert_eq!(document["components"]["securitySchemes"]["key"]["scheme"], "bearer");
    assert_references_resolve(&document, &document);
}

fn assert_references_resolve(document: &Value, part: &Value) {
    match part {
        Value::Object(members) => {
            if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
            }
            members.values().for_each(|member| assert_references_resolve(document, member));
        }
        Value::Array(items) => items.iter().for_each(|item| assert_references_resolve(document, item)),
        _ => {}
    }
}
