//! The worker through its door: a real PostgreSQL before it, real sockets behind it.

mod concurrency;
mod crash;
mod egress;
mod house;
mod outcomes;
mod retries;
mod stop;
mod wire;
