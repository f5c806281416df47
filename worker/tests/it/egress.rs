//! Private addresses are not called, whatever the row says.

use std::sync::Arc;

use trunkline_boot::Shutdown;
use trunkline_egress::{Lookup, LookupError};
use trunkline_testkit::{eventually, publish, seed_tenant};

use crate::house::{House, millis};

#[tokio::test]
async fn an_address_that_may_not_be_called_is_never_connected_to() {
    let house = House::with(|settings| {
        settings.egress.allow = Vec::new();
        settings.delivery.retry_schedule = vec![millis(3_600_000)];
    })
    .await;
    let port = house.sink.url("").rsplit(':').next().unwrap().to_owned();
    let worker = house.worker().await;
    for (number, host) in
        ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"].iter().enumerate()
    {
        // A tenant for each, seeded past the check that saving would make.
        let url = format!("http://{host}:{port}/");
        let tenant = seed_tenant(&house.database, &house.settings, &format!("tenant-{number}"), &url).await;
        let event_id = publish(&house.database, &tenant, "{}").await;
        house.until(event_id, "FAILED").await;
        assert_eq!(house.outcomes(event_id).await, "blocked", "{host}");
    }
    assert_eq!(house.sink.arrivals().len(), 0);
    worker.stop().await;
}

/// As many failures as open the breaker of an endpoint that is to blame.
#[tokio::test]
async fn that_no_name_can_be_looked_up_is_blamed_on_no_endpoint() {
    let house = House::with(|settings| settings.delivery.retry_schedule = vec![millis(20); 14]).await;
    let tenant = seed_tenant(&house.database, &house.settings, "shop", "http://shop.example:8080/").await;
    let away: Lookup =
        Arc::new(|_| Box::pin(async { Err(LookupError::Ours("the name servers do not answer".to_owned())) }));
    let shutdown = Shutdown::new();
    let door = trunkline_worker::build_asking(&house.settings, away, shutdown.clone()).await.unwrap();
    let worker = tokio::spawn(door.run_until_stopped());
    let event_id = publish(&house.database, &tenant, "{}").await;
    let row = eventually("the budget is used up", async || {
        let row = house.row(event_id).await;
        (row.status == "FAILED" && !row.is_due).then_some(row)
    })
    .await;
    shutdown.trigger();
    worker.await.unwrap();
    assert_eq!(row.attempts, 15);
    assert_eq!(house.outcomes(event_id).await, ["internal_error"; 15].join(" "));
    let blamed = "SELECT count(*) FROM trunkline.endpoints
                  WHERE failing_since IS NOT NULL OR breaker_open_until IS NOT NULL OR failures > 0";
    assert_eq!(house.database.text(blamed).await, "0");
    let told =
        format!("SELECT DISTINCT error FROM trunkline.attempts WHERE event_id = '{}'", event_id.as_uuid());
    assert!(!house.database.text(&told).await.contains("name servers"), "that is for the operator's log");
}
