//! The reference consumer's switches and receipts.

mod receipts;
mod receptions;

pub use receipts::{Receipt, Seen, arrived, recent, sweep};
pub use receptions::{Reception, reception, switch_all, switch_tenant};
