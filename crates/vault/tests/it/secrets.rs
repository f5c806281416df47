use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use trunkline_vault::{Sealed, VaultError};

use crate::{endpoint, tenant, vault};

/// Bytes as a database may hold them, made by another implementation (libsodium): changing this constant means that stored secrets are lost.
const SEALED_BY_RELEASE_0_1: &str = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJkRwxDK2D80P9Ets7TopBQJ40MBIaz3YErag=";

#[test]
fn a_secret_opens_for_its_tenant_and_endpoint_alone() {
    let vault = vault(&[1]);
    let sealed = vault.seal_secret(&tenant("acme"), endpoint("89ab"), b"whsec_x", [9; 24]).unwrap();
    let opened = vault.open_secret(&tenant("acme"), endpoint("89ab"), &sealed).unwrap();
    assert_eq!(opened.as_slice(), b"whsec_x");
    for (owner, place) in [("globex", "89ab"), ("acme", "89ac"), ("acmee", "89ab"), ("acm", "89ab")] {
        let opened = vault.open_secret(&tenant(owner), endpoint(place), &sealed);
        assert_eq!(opened.unwrap_err(), VaultError::NotAuthentic, "{owner} {place}");
    }
}

#[test]
fn a_rotation_opens_old_and_new_until_the_old_key_is_removed() {
    let old = vault(&[1]).seal_secret(&tenant("acme"), endpoint("89ab"), b"old", [9; 24]).unwrap();
    let rotating = vault(&[2, 1]);
    let new = rotating.seal_secret(&tenant("acme"), endpoint("89ab"), b"new", [9; 24]).unwrap();
    assert_eq!((old.key_id.as_str(), new.key_id.as_str()), ("k1", "k2"));
    assert_eq!(rotating.open_secret(&tenant("acme"), endpoint("89ab"), &old).unwrap().as_slice(), b"old");
    assert_eq!(rotating.open_secret(&tenant("acme"), endpoint("89ab"), &new).unwrap().as_slice(), b"new");

    let rotated = vault(&[2]);
    assert_eq!(
        rotated.open_secret(&tenant("acme"), endpoint("89ab"), &old).unwrap_err(),
        VaultError::UnknownKey("k1".into())
    );
    let mislabelled = Sealed { key_id: "k2".into(), ..old };
    assert_eq!(
        rotated.open_secret(&tenant("acme"), endpoint("89ab"), &mislabelled).unwrap_err(),
        VaultError::NotAuthentic
    );
}

#[test]
fn a_secret_is_sealed_again_under_the_first_key_for_the_same_owner() {
    let (acme, place) = (tenant("acme"), endpoint("89ab"));
    let old = vault(&[1]).seal_secret(&acme, place, b"kept", [9; 24]).unwrap();
    let rotating = vault(&[2, 1]);
    let new = rotating.reseal_secret(&acme, place, &old, [8; 24]).unwrap().unwrap();
    assert_eq!(new.key_id, "k2");
    assert_eq!(vault(&[2]).open_secret(&acme, place, &new).unwrap().as_slice(), b"kept");
    assert_eq!(
        rotating.reseal_secret(&acme, place, &new, [7; 24]).unwrap(),
        None,
        "it is under the first key"
    );
    let foreign = rotating.reseal_secret(&tenant("globex"), place, &old, [8; 24]);
    assert_eq!(foreign.unwrap_err(), VaultError::NotAuthentic, "nobody's secret becomes another's");
    let lost = vault(&[2]).reseal_secret(&acme, place, &old, [8; 24]);
    assert_eq!(lost.unwrap_err(), VaultError::UnknownKey("k1".into()));
}

#[test]
fn what_was_sealed_stays_readable_in_later_releases() {
    let sealed = Sealed { key_id: "k1".into(), bytes: STANDARD.decode(SEALED_BY_RELEASE_0_1).unwrap() };
    assert_eq!(
        vault(&[1]).open_secret(&tenant("acme"), endpoint("89ab"), &sealed).unwrap().as_slice(),
        b"whsec_kept"
    );
    let again = vault(&[1]).seal_secret(&tenant("acme"), endpoint("89ab"), b"whsec_kept", [9; 24]).unwrap();
    assert_eq!(again, sealed);
}

#[test]
fn a_secret_of_1024_bytes_is_the_longest() {
    assert!(vault(&[1]).seal_secret(&tenant("acme"), endpoint("89ab"), &[1; 1024], [9; 24]).is_ok());
    assert_eq!(
        vault(&[1]).seal_secret(&tenant("acme"), endpoint("89ab"), &[1; 1025], [9; 24]).unwrap_err(),
        VaultError::TooLong
    );
}

proptest! {
    #[test]
    fn any_change_to_the_bytes_is_refused(
        secret in prop::collection::vec(any::<u8>(), 0..200),
        nonce in any::<[u8; 24]>(),
        index in any::<prop::sample::Index>(),
        bit in 0_u8..8,
        cut in any::<prop::sample::Index>(),
    ) {
        let vault = vault(&[1]);
        let sealed = vault.seal_secret(&tenant("acme"), endpoint("89ab"), &secret, nonce).unwrap();
        let opened = vault.open_secret(&tenant("acme"), endpoint("89ab"), &sealed).unwrap();
        prop_assert_eq!(opened.as_slice(), secret.as_slice());

        let mut flipped = sealed.clone();
        let at = index.index(flipped.bytes.len());
        flipped.bytes[at] ^= 1 << bit;
        prop_assert_eq!(vault.open_secret(&tenant("acme"), endpoint("89ab"), &flipped).unwrap_err(), VaultError::NotAuthentic);

        let mut shorter = sealed.clone();
        shorter.bytes.truncate(cut.index(sealed.bytes.len()));
        prop_assert_eq!(vault.open_secret(&tenant("acme"), endpoint("89ab"), &shorter).unwrap_err(), VaultError::NotAuthentic);
    }
}
