//! HMAC-SHA256 over parts, and the comparison of what was presented with what was expected.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

/// Authenticates the concatenation of `parts` without copying them: a body is hashed where it lies.
pub(crate) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Whether any presented signature is any of the expected ones.
///
/// Compares the encoded text, so that a signature has exactly one accepted spelling, and looks at every pair whatever
/// it has found already: the time taken tells how many were presented, which their sender knows.
pub(crate) fn any_matches(expected: &[String], presented: &[&str]) -> bool {
    let mut found = Choice::from(0);
    for expected in expected {
        for presented in presented {
            found |= expected.as_bytes().ct_eq(presented.as_bytes());
        }
    }
    found.into()
}
