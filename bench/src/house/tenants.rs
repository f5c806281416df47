//! Tenants, made by the operator's route.

use std::net::SocketAddr;
use std::ops::Range;

use anyhow::Context;
use serde_json::{Value, json};

use super::door::OPERATOR_KEY;
use crate::sink::{SECRET, Sink};

/// How many requests are under way at one time.
const SIDE_BY_SIDE: u32 = 4;

/// A tenant of this run.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    pub(crate) tenant_id: String,
    pub(crate) key: String,
}

/// Makes tenants with these numbers; the endpoint of tenant n is number n at the sink.
pub(super) fn create(api: SocketAddr, sink: &Sink, numbers: Range<u32>) -> anyhow::Result<Vec<Tenant>> {
    let share = numbers.len().div_ceil(SIDE_BY_SIDE as usize).max(1) as u32;
    let shares = (0..SIDE_BY_SIDE).map(|turn| {
        let start = (numbers.start + turn * share).min(numbers.end);
        start..(start + share).min(numbers.end)
    });
    std::thread::scope(|scope| {
        let threads: Vec<_> = shares
            .map(|share| scope.spawn(move || share.map(|number| create_one(api, sink, number)).collect()))
            .collect();
        let mut made = Vec::with_capacity(numbers.len());
        for thread in threads {
            let part: anyhow::Result<Vec<Tenant>> = thread.join().expect("it returns its errors");
            made.extend(part?);
        }
        Ok(made)
    })
}

fn create_one(api: SocketAddr, sink: &Sink, number: u32) -> anyhow::Result<Tenant> {
    let tenant_id = format!("bench-{number:05}");
    let wanted = json!({ "tenant_id": tenant_id, "target_url": sink.url(number), "webhook_secret": SECRET });
    let mut response = ureq::post(format!("http://{api}/v1/tenants"))
        .header("authorization", format!("Bearer {OPERATOR_KEY}"))
        .content_type("application/json")
        .send(wanted.to_string())
        .with_context(|| format!("creating {tenant_id}"))?;
    let answer: Value = serde_json::from_str(&response.body_mut().read_to_string()?)?;
    let key = answer["api_key"].as_str().context("the answer has no key")?.to_owned();
    Ok(Tenant { tenant_id, key })
}
