use trunkline_testkit::eventually;

use crate::house::{House, Replica};

#[tokio::test]
async fn receipts_past_their_retention_are_forgotten_in_batches() {
    let house = House::new().await;
    house.deliver("evt_kept").await;
    let old = "INSERT INTO trunkline.receipts (tenant_id, path, webhook_id, received_at) \
               SELECT 'acme', '', 'old_' || n, now() - interval '8 days' FROM generate_series(1, 2500) AS n";
    house.database.execute(old).await;
    // A round begins when a receiver starts.
    let _second = Replica::start(&house.settings).await;
    eventually("old receipts are gone", async || (house.receipts().await == "1").then_some(())).await;
    assert_eq!(house.deliver("evt_kept").await.json()["duplicate"], true);
}
