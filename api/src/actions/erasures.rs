//! Payloads erased by request, and their receipts.

pub(crate) mod create;
pub(crate) mod show;

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_domain::{ErasureId, EventId};
use utoipa::ToSchema;

/// Proof that a payload was erased.
#[derive(Serialize, ToSchema)]
#[schema(as = ErasureReceipt)]
pub(crate) struct Receipt {
    /// The request that erased it; several events may share one.
    #[schema(value_type = String, example = "ers_01a20ada2c007abc8123456789abcdef")]
    erasure_id: ErasureId,
    #[schema(value_type = String, example = "evt_01a20ada2c007abc8123456789abcdef")]
    event_id: EventId,
    /// What was erased, by its hash: 64 hexadecimal digits.
    payload_sha256: String,
    erased_at: DateTime<Utc>,
}

impl From<trunkline_store::erasures::Receipt> for Receipt {
    fn from(receipt: trunkline_store::erasures::Receipt) -> Self {
        Self {
            erasure_id: receipt.erasure_id,
            event_id: receipt.event_id,
            payload_sha256: hex::encode(receipt.payload_sha256),
            erased_at: receipt.erased_at,
        }
    }
}
