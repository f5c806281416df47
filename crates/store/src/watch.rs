//! What those who run it look at: the queue, the workers, transactions that keep the database from cleaning up. For gauges and
//! for `trunkline top`; every statement here costs the same whatever waits.

mod house;
mod queue;

pub use house::{Counted, WorkerShown, counted, oldest_transaction_seconds, workers};
pub use queue::{Gate, Queue, Sweep, WaitingEndpoint, queue};
