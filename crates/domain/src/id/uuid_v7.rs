//! UUID version 7 as RFC 9562 section 5.7 lays it out: 48 bits of Unix milliseconds, the version, 12 bits of the
//! fraction of the millisecond (section 6.2, method 3), the variant, 62 random bits.
//!
//! `trunkline.uuid_v7` in SQL makes the same bits; `crates/store` holds both against one table of vectors.

use uuid::Uuid;

const VERSION_7: u128 = 0x7 << 76;
const VARIANT_RFC: u128 = 0b10 << 62;
const RANDOM_BITS: u64 = (1 << 62) - 1;

/// The UUID of the instant `unix_micros` (microseconds since 1970) with the low 62 bits of `random`.
///
/// An instant before 1970 counts as 1970; one past the year 10889 wraps, as the field has 48 bits.
pub(super) fn from_parts(unix_micros: i64, random: u64) -> Uuid {
    let micros = unix_micros.max(0).unsigned_abs();
    let millis = u128::from(micros / 1_000) & 0xffff_ffff_ffff;
    let fraction = u128::from((micros % 1_000) * 4_096 / 1_000);
    let bits = (millis << 80) | VERSION_7 | (fraction << 64) | VARIANT_RFC | u128::from(random & RANDOM_BITS);
    Uuid::from_u128(bits)
}

/// The lowest value that sorts at or before every version 7 UUID of that millisecond.
pub(super) fn lowest_in_millisecond(unix_millis: i64) -> Uuid {
    let millis = u128::from(unix_millis.max(0).unsigned_abs()) & 0xffff_ffff_ffff;
    Uuid::from_u128(millis << 80)
}

/// The next larger UUID of the kind that [`from_parts`] makes: of the same instant while it has random bits left.
pub(super) fn next(id: Uuid) -> Uuid {
    let bits = id.as_u128();
    if bits & u128::from(RANDOM_BITS) < u128::from(RANDOM_BITS) {
        return Uuid::from_u128(bits + 1);
    }
    // The version's four bits lie between the fraction and the milliseconds: with them set, a fraction that is full carries over.
    let carried = (bits | (0xf << 76)) + (1 << 64);
    Uuid::from_u128((carried & !(0xf << 76) & !u128::from(RANDOM_BITS)) | VERSION_7 | VARIANT_RFC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_rfc_9562_appendix_a_6_comes_out() {
        // 2022-02-22 19:22:22 UTC; rand_a is 0xCC3 there, which is the fraction 0.797 of a millisecond.
        let made = from_parts(1_645_557_742_000_797, 0x18C4_DC0C_0C07_398F);
        assert_eq!(made.to_string(), "017f22e2-79b0-7cc0-98c4-dc0c0c07398f");
        assert_eq!(made.get_version_num(), 7);
    }

    proptest! {
        #[test]
        fn order_of_ids_is_order_of_time(a in 0i64..4_000_000_000_000_000, step in 1i64..1_000_000, x: u64, y: u64) {
            // Twelve bits tell every microsecond of a millisecond from the next.
            prop_assert!(from_parts(a, x) < from_parts(a + step, y));
        }

        #[test]
        fn the_next_is_larger_and_of_the_same_kind(micros in 0i64..4_000_000_000_000_000, random: u64, full: bool) {
            let id = from_parts(micros, if full { u64::MAX } else { random });
            let after = next(id);
            prop_assert!(after > id);
            prop_assert_eq!(after.get_version_num(), 7);
            prop_assert_eq!(after.get_variant(), uuid::Variant::RFC4122);
            // A microsecond later at most.
            prop_assert!(after <= from_parts(micros + 1, u64::MAX));
        }

        #[test]
        fn the_bound_of_a_millisecond_is_below_its_ids(micros in 0i64..4_000_000_000_000_000, random: u64) {
            let id = from_parts(micros, random);
            prop_assert!(lowest_in_millisecond(micros / 1_000) <= id);
            prop_assert!(id < lowest_in_millisecond(micros / 1_000 + 1));
        }
    }
}
