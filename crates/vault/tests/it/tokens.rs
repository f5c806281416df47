use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use trunkline_vault::{TOKEN_CHARS_MAX, VaultError};

use crate::{endpoint, tenant, vault};

#[test]
fn a_token_opens_for_its_tenant_and_filter_alone() {
    let vault = vault(&[1]);
    let token = vault.seal_token("acme", b"status=FAILED", b"cursor", [9; 24]).unwrap();
    assert_eq!(vault.open_token("acme", b"status=FAILED", &token).unwrap(), b"cursor");
    assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
    assert!(!token.contains(&URL_SAFE_NO_PAD.encode("cursor")));
    for (tenant, filter) in
        [("globex", "status=FAILED"), ("acme", "status=PENDING"), ("acmes", "tatus=FAILED")]
    {
        let opened = vault.open_token(tenant, filter.as_bytes(), &token);
        assert_eq!(opened.unwrap_err(), VaultError::NotAuthentic, "{tenant} {filter}");
    }
}

#[test]
fn what_was_sealed_for_one_purpose_does_not_open_for_another() {
    let vault = vault(&[1]);
    let context = endpoint("89ab").to_string();
    let secret = vault.seal_secret(&tenant("acme"), endpoint("89ab"), b"secret", [9; 24]).unwrap();
    let as_token = URL_SAFE_NO_PAD.encode(&secret.bytes);
    assert_eq!(
        vault.open_token("acme", context.as_bytes(), &as_token).unwrap_err(),
        VaultError::NotAuthentic
    );

    let token = vault.seal_token("acme", context.as_bytes(), b"cursor", [9; 24]).unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(token).unwrap();
    let as_secret = trunkline_vault::Sealed { bytes, ..secret };
    let opened = vault.open_secret(&tenant("acme"), endpoint("89ab"), &as_secret);
    assert_eq!(opened.unwrap_err(), VaultError::NotAuthentic);

    // The same context in both, so that only the purpose differs.
    let header = vault.seal_header(&tenant("acme"), endpoint("89ab"), "x", "value", [9; 24]).unwrap();
    let bytes = STANDARD.decode(header.rsplit(':').next().unwrap()).unwrap();
    let as_token = URL_SAFE_NO_PAD.encode(bytes);
    let filter = format!("{context}:x");
    assert_eq!(vault.open_token("acme", filter.as_bytes(), &as_token).unwrap_err(), VaultError::NotAuthentic);
}

#[test]
fn tokens_outlive_a_rotation_until_the_old_key_is_removed() {
    let token = vault(&[1]).seal_token("acme", b"", b"cursor", [9; 24]).unwrap();
    assert_eq!(vault(&[2, 1]).open_token("acme", b"", &token).unwrap(), b"cursor");
    assert_eq!(vault(&[2]).open_token("acme", b"", &token).unwrap_err(), VaultError::NotAuthentic);
}

#[test]
fn tokens_are_bounded() {
    let vault = vault(&[1]);
    let longest = vault.seal_token("acme", b"", &[1; 344], [9; 24]).unwrap();
    assert_eq!(longest.len(), TOKEN_CHARS_MAX);
    assert_eq!(vault.open_token("acme", b"", &longest).unwrap(), [1; 344]);
    assert_eq!(vault.seal_token("acme", b"", &[1; 345], [9; 24]).unwrap_err(), VaultError::TooLong);
    assert_eq!(vault.open_token("acme", b"", &"A".repeat(513)).unwrap_err(), VaultError::TooLong);
}

proptest! {
    #[test]
    fn any_change_to_a_token_is_refused(
        cursor in prop::collection::vec(any::<u8>(), 0..100),
        nonce in any::<[u8; 24]>(),
        index in any::<prop::sample::Index>(),
        other in "[A-Za-z0-9_=+/ -]",
    ) {
        let vault = vault(&[1]);
        let token = vault.seal_token("acme", b"filter", &cursor, nonce).unwrap();
        prop_assert_eq!(vault.open_token("acme", b"filter", &token).unwrap(), cursor);

        let at = index.index(token.len());
        let mut changed = token.clone();
        changed.replace_range(at..=at, &other);
        prop_assume!(changed != token);
        prop_assert!(vault.open_token("acme", b"filter", &changed).is_err());
    }

    #[test]
    fn garbage_is_refused_without_a_panic(token in ".{0,600}", tenant in ".{0,60}") {
        prop_assert!(vault(&[1, 2]).open_token(&tenant, b"filter", &token).is_err());
    }
}
