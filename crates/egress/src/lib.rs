#![doc = include_str!("../README.md")]

mod address;
mod lookup;
mod policy;
mod ports;
mod resolver;

pub use address::AddressRefused;
pub use lookup::{Lookup, LookupError, system_lookup};
pub use policy::{EgressPolicy, TargetUrl, URL_LENGTH_MAX, UrlRefused};
pub use resolver::{GuardedResolver, ResolveError};
