#![doc = include_str!("../README.md")]

mod address;
mod policy;
mod ports;
mod resolver;

pub use address::AddressRefused;
pub use policy::{EgressPolicy, TargetUrl, URL_LENGTH_MAX, UrlRefused};
pub use resolver::{GuardedResolver, Lookup, ResolveError, system_lookup};
