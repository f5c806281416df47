use std::time::Duration;

use serde_json::json;
use trunkline_domain::TenantId;
use trunkline_store::tenants::{self, TenantStatus};
use trunkline_store::{Connection, audit, time};

use crate::failure::Failure;
use crate::operator::record;
use crate::output::Output;

/// Deliveries and payloads settled in one transaction.
const DELETED_AT_A_TIME: i64 = 1_000;

/// Until then an api may still take an event in, because it saw the key lately.
const KEYS_REFUSED_AFTER: chrono::Duration = chrono::Duration::seconds(6);

const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Goes on until nothing is left, which is when no api can believe a key of the tenant any more.
pub(super) async fn run(
    connection: &mut Connection,
    tenant_id: &TenantId,
    output: Output,
) -> anyhow::Result<()> {
    let mut transaction = trunkline_store::begin(connection).await?;
    let now = time::now(&mut transaction).await?;
    let ended = tenants::end(&mut transaction, tenant_id, now).await?;
    let ended = ended.ok_or_else(|| Failure::NotFound(format!("there never was a tenant {tenant_id}")))?;
    // A second time it goes on with what was begun.
    if ended.deleted_at.timestamp_micros() == now.timestamp_micros() {
        record(&mut transaction, audit::Action::DeleteTenant, tenant_id, None).await?;
    }
    transaction.commit().await?;
    let (mut deliveries, mut payloads) = (0, 0);
    loop {
        let now = time::now(connection).await?;
        let cleared = tenants::clear(connection, ended.lane, tenant_id, DELETED_AT_A_TIME, now).await?;
        deliveries += cleared.cancelled;
        payloads += cleared.payloads;
        output.ticker(&format!("{deliveries} deliveries cancelled, {payloads} payloads erased"));
        if cleared.most() > 0 {
            continue;
        }
        if now >= ended.deleted_at + KEYS_REFUSED_AFTER {
            break;
        }
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    }
    output.ticker("");
    let value = json!({
        "tenant_id": tenant_id,
        "status": TenantStatus::Deleted.as_str(),
        "keys_revoked": ended.keys.len(),
        "endpoints_deleted": ended.endpoints,
        "deliveries_cancelled": deliveries,
        "payloads_erased": payloads,
    });
    output.result(&value, || {
        format!(
            "{tenant_id} is DELETED: {} keys, {} endpoints, {deliveries} open deliveries, {payloads} payloads",
            ended.keys.len(),
            ended.endpoints
        )
    })
}
