//! Private addresses are not called, whatever the row says.

use trunkline_testkit::{publish, seed_tenant};

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
