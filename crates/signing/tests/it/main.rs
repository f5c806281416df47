//! What any receiver may rely on: the vectors, the libraries that others use, and that nothing tampered passes.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod interop;
mod properties;
mod refusals;
mod secrets;
mod vectors;
