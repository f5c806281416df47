//! Where randomness enters.

/// Bytes of a cryptographically secure generator that is seeded by the operating system: good for keys,
/// secrets and ids.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes);
    bytes
}

/// A uniform number in `[0, 1)`, for jitter.
#[must_use]
pub fn random_unit() -> f64 {
    rand::random()
}
