use std::time::Instant;

use http::Method;
use serde_json::json;
use trunkline_boot::clock::signing_now;
use trunkline_boot::random::random_bytes;
use trunkline_signing::{Secret, sign};
use trunkline_testkit::{eventually, seed_tenant};
use uuid::Uuid;

use crate::house::{BODY, House, assert_problem};

#[tokio::test]
async fn either_scheme_is_enough() {
    let house = House::new().await;
    let signed = house.sign("evt_1");
    let standard = [
        ("webhook-id", signed.webhook_id.as_str()),
        ("webhook-timestamp", &signed.webhook_timestamp),
        ("webhook-signature", &signed.webhook_signature),
    ];
    let stripe = [("Stripe-Signature", signed.stripe_signature.as_str())];
    for (path, headers) in [("a", &standard[..]), ("b", &stripe[..]), ("c", &signed.pairs()[..])] {
        let reply = house.post(&format!("/acme/webhook/{path}"), BODY, headers).await;
        assert_eq!(reply.status, 200, "{path}: {:?}", reply.body);
        assert_eq!(reply.json(), json!({"status": "received", "tenant_id": "acme"}));
    }
}

#[tokio::test]
async fn it_takes_what_the_crate_standardwebhooks_signs() {
    let house = House::new().await;
    let foreign = standardwebhooks::Webhook::new(&house.acme.webhook_secret).unwrap();
    let now = signing_now();
    let signature = foreign.sign("msg_from_elsewhere", now, BODY.as_bytes()).unwrap();
    let now = now.to_string();
    let headers = [
        ("webhook-id", "msg_from_elsewhere"),
        ("webhook-timestamp", now.as_str()),
        ("webhook-signature", signature.as_str()),
    ];
    assert_eq!(house.post("/acme/webhook", BODY, &headers).await.status, 200);
}

#[tokio::test]
async fn a_webhook_that_is_not_verified_is_refused_and_not_recorded() {
    let house = House::new().await;
    let unsigned = house.post("/acme/webhook", BODY, &[]).await;
    assert_problem(&unsigned, 401, "signature_missing");
    assert!(!unsigned.header("www-authenticate").is_empty());

    let good = house.sign("evt_1");
    let changed = house.post("/acme/webhook", &BODY.replace("12.50", "99.00"), &good.pairs()).await;
    assert_problem(&changed, 401, "signature_mismatch");

    let other = Secret::generate(random_bytes());
    let forged = sign("evt_1", signing_now(), BODY.as_bytes(), &[&other]);
    assert_problem(&house.post("/acme/webhook", BODY, &forged.pairs()).await, 401, "signature_mismatch");

    let half =
        [good.pairs()[0], ("webhook-id", "evt_1"), ("webhook-timestamp", "1"), ("webhook-signature", "v1,")];
    assert_eq!(house.post("/acme/webhook", BODY, &half).await.status, 401, "a scheme presented must hold");

    for garbage in ["", "v1", "v1,,, v1,", "t=,v1=", "\u{fffd}"] {
        let headers = [("Stripe-Signature", garbage), ("webhook-id", "a"), ("webhook-timestamp", "1")];
        let reply = house.post("/acme/webhook", BODY, &headers).await;
        assert_eq!(reply.status, 401, "{garbage:?}");
    }
    assert_eq!(house.receipts().await, "0");
}

#[tokio::test]
async fn a_signature_older_or_newer_than_300_seconds_is_refused() {
    let house = House::new().await;
    for offset in [-310, 310] {
        let headers = house.sign_at("evt_1", signing_now() + offset);
        let reply = house.post("/acme/webhook", BODY, &headers.pairs()).await;
        assert_problem(&reply, 401, "timestamp_outside_tolerance");
    }
    for offset in [-290, 290] {
        let headers = house.sign_at("evt_1", signing_now() + offset);
        assert_eq!(house.post("/acme/webhook", BODY, &headers.pairs()).await.status, 200, "{offset}");
    }
}

#[tokio::test]
async fn a_new_secret_works_at_once_and_the_old_one_until_it_ends() {
    let house = House::new().await;
    assert_eq!(house.deliver("evt_1").await.status, 200, "the secrets are in memory now");

    let new = Secret::generate(random_bytes());
    add_secret(&house, &new).await;
    let signed = sign("evt_2", signing_now(), BODY.as_bytes(), &[&new]);
    assert_eq!(house.post("/acme/webhook", BODY, &signed.pairs()).await.status, 200);
    assert_eq!(house.deliver("evt_3").await.status, 200, "both are valid");

    let end_old = "UPDATE trunkline.endpoint_secrets SET valid_until = now() \
                   WHERE created_at = (SELECT min(created_at) FROM trunkline.endpoint_secrets)";
    house.database.execute(end_old).await;
    eventually("a secret that ended is refused", async || {
        (house.deliver("evt_4").await.status == 401).then_some(())
    })
    .await;
    assert_eq!(house.post("/acme/webhook", BODY, &signed.pairs()).await.status, 200);
}

#[tokio::test]
async fn a_mismatch_is_our_fault_while_a_secret_cannot_be_opened() {
    let house = House::new().await;
    house.database.execute("UPDATE trunkline.endpoint_secrets SET key_id = 'lost'").await;
    assert_problem(&house.deliver("evt_1").await, 500, "internal_error");
    assert_eq!(house.receipts().await, "0");
}

async fn add_secret(house: &House, secret: &Secret) {
    use trunkline_store::endpoints::{NewSecret, add_secret};

    let vault = trunkline_testkit::vault(&house.settings);
    let (tenant_id, endpoint_id) = (&house.acme.tenant_id, house.acme.endpoint_id);
    let text = secret.expose().as_bytes();
    let sealed = vault.seal_secret(tenant_id, endpoint_id, text, random_bytes()).unwrap();
    let mut connection = house.database.connect().await;
    let now = trunkline_store::time::now(&mut connection).await.unwrap();
    let secret = NewSecret {
        secret_id: Uuid::from_bytes(random_bytes()),
        key_id: &sealed.key_id,
        sealed: &sealed.bytes,
    };
    add_secret(&mut connection, tenant_id, endpoint_id, &secret, now).await.unwrap();
}

#[tokio::test]
async fn a_tenant_with_many_secrets_is_known_by_those_of_endpoints_that_lead_here() {
    let house = House::new().await;
    house.database.execute("UPDATE trunkline.endpoints SET url = 'http://127.0.0.1:1/acme/webhook'").await;
    // Newer secrets of an endpoint elsewhere; they need not open.
    let others = "
        WITH other AS (
            INSERT INTO trunkline.endpoints (tenant_id, endpoint_id, lane, name, url, created_at, updated_at)
            SELECT tenant_id, gen_random_uuid(), lane, 'other', 'http://127.0.0.1:1/elsewhere', now(), now()
            FROM trunkline.tenants
            RETURNING tenant_id, endpoint_id
        )
        INSERT INTO trunkline.endpoint_secrets (secret_id, tenant_id, endpoint_id, key_id, sealed, created_at)
        SELECT trunkline.uuid_v7(), tenant_id, endpoint_id, 'lost', decode('00', 'hex'), now()
        FROM other, generate_series(1, 1200)";
    house.database.execute(others).await;
    assert_eq!(house.deliver("evt_1").await.status, 200);
}

#[tokio::test]
async fn wrong_signatures_of_a_tenant_with_many_secrets_keep_no_other_tenant_waiting() {
    let house = House::new().await;
    let globex = seed_tenant(&house.database, &house.settings, "globex", "http://127.0.0.1:1/").await;
    let many = "INSERT INTO trunkline.endpoint_secrets (tenant_id, endpoint_id, secret_id, key_id, sealed, created_at)
                SELECT tenant_id, endpoint_id, trunkline.uuid_v7(), key_id, sealed, now()
                FROM trunkline.endpoint_secrets, generate_series(1, 299) WHERE tenant_id = 'acme'";
    house.database.execute(many).await;
    let large = format!("{{\"x\":\"{}\"}}", "y".repeat(1_000_000));
    let forged = sign("evt_1", signing_now(), b"another body", &[&Secret::generate(random_bytes())]);
    let client = house.replica.client.clone();
    let send = move || {
        let (client, large, forged) = (client.clone(), large.clone(), forged.clone());
        async move {
            let sent_at = Instant::now();
            let reply = client.send(Method::POST, "/acme/webhook", large, &forged.pairs()).await;
            assert!([401, 503].contains(&reply.status), "{}", reply.status);
            sent_at.elapsed()
        }
    };
    let secret = Secret::from_stored(&globex.webhook_secret).unwrap();
    let signed = sign("evt_0", signing_now(), BODY.as_bytes(), &[&secret]);
    assert_eq!(house.post("/globex/webhook", BODY, &signed.pairs()).await.status, 200);
    // The first has the secrets opened, which is most of its time without optimisation.
    send().await;
    let alone = send().await;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let senders: Vec<_> = (0..(2 * threads).min(8)).map(|_| tokio::spawn(send())).collect();
    let mut waits = Vec::new();
    while senders.iter().any(|sender| !sender.is_finished()) {
        let signed = sign(&format!("evt_{}", waits.len() + 1), signing_now(), BODY.as_bytes(), &[&secret]);
        let sent_at = Instant::now();
        let reply = house.post("/globex/webhook", BODY, &signed.pairs()).await;
        assert_eq!(reply.status, 200, "{:?}", reply.body);
        waits.push(sent_at.elapsed());
    }
    // Behind a verification that gives way to nobody each would wait for one at least; half of them, since machines stand still at times.
    waits.sort();
    let usual = waits[waits.len() / 2];
    assert!(2 * usual < alone, "{usual:?} of {} beside what takes {alone:?} alone", waits.len());
}
