use trunkline_vault::{SEALED_PREFIX, VaultError};

use crate::{endpoint, tenant, vault};

/// Text as a database may hold it, made by another implementation (libsodium): changing this constant means that stored
/// values are lost.
const SEALED_BY_RELEASE_0_1: &str =
    "sealed:k1:CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJWjJ53eLEbgi8g3imxYpQ2iwdIBr8dQUrvwFN";

#[test]
fn a_header_value_opens_for_its_tenant_endpoint_and_name_alone() {
    let vault = vault(&[1]);
    let (acme, place) = (tenant("acme"), endpoint("89ab"));
    let sealed = vault.seal_header(&acme, place, "authorization", "Bearer kept", [9; 24]).unwrap();
    assert_eq!(sealed, SEALED_BY_RELEASE_0_1);
    assert_eq!(vault.open_header(&acme, place, "Authorization", &sealed).unwrap().as_str(), "Bearer kept");
    for (owner, place, name) in
        [("globex", "89ab", "authorization"), ("acme", "89ac", "authorization"), ("acme", "89ab", "x-token")]
    {
        let opened = vault.open_header(&tenant(owner), endpoint(place), name, &sealed);
        assert_eq!(opened.unwrap_err(), VaultError::NotAuthentic, "{owner} {place} {name}");
    }
}

#[test]
fn what_was_never_sealed_is_taken_as_it_is_and_sealed_when_keys_rotate() {
    let (acme, place) = (tenant("acme"), endpoint("89ab"));
    let vault = vault(&[2, 1]);
    assert_eq!(vault.open_header(&acme, place, "x-team", "orders").unwrap().as_str(), "orders");
    for stored in ["orders", SEALED_BY_RELEASE_0_1] {
        let name = if stored == "orders" { "x-team" } else { "authorization" };
        let sealed = vault.reseal_header(&acme, place, name, stored, [8; 24]).unwrap().unwrap();
        assert!(sealed.starts_with("sealed:k2:"), "{sealed}");
        let again = vault.reseal_header(&acme, place, name, &sealed, [7; 24]).unwrap();
        assert_eq!(again, None, "it is under the first key");
    }
}

#[test]
fn a_value_that_looks_sealed_is_sealed_like_any_other_and_a_broken_one_does_not_open() {
    let vault = vault(&[1]);
    let (acme, place) = (tenant("acme"), endpoint("89ab"));
    let sealed = vault.seal_header(&acme, place, "x", SEALED_BY_RELEASE_0_1, [9; 24]).unwrap();
    assert_eq!(vault.open_header(&acme, place, "x", &sealed).unwrap().as_str(), SEALED_BY_RELEASE_0_1);
    for broken in ["", "k1", "k1:", "k1:?", "k1:AAAA"] {
        let opened = vault.open_header(&acme, place, "x", &format!("{SEALED_PREFIX}{broken}"));
        assert_eq!(opened.unwrap_err(), VaultError::NotAuthentic, "{broken}");
    }
    let lost = vault.open_header(&acme, place, "x", "sealed:k9:AAAA");
    assert_eq!(lost.unwrap_err(), VaultError::UnknownKey("k9".into()));
    let long = vault.seal_header(&acme, place, "x", &"v".repeat(4097), [9; 24]);
    assert_eq!(long.unwrap_err(), VaultError::TooLong);
}
