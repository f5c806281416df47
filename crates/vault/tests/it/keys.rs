use trunkline_vault::{KeysRefused, Vault};

use crate::vault;

type Keys<'a> = Vec<(&'a str, [u8; 32])>;

#[test]
fn keys_that_could_not_be_told_apart_or_were_never_set_are_refused() {
    let long = "k".repeat(33);
    let cases: Vec<(Keys<'_>, KeysRefused)> = vec![
        (vec![], KeysRefused::NoKey),
        (vec![("", [1; 32])], KeysRefused::BadId(String::new())),
        (vec![("a b", [1; 32])], KeysRefused::BadId("a b".into())),
        (vec![("a:b", [1; 32])], KeysRefused::BadId("a:b".into())),
        (vec![("é", [1; 32])], KeysRefused::BadId("é".into())),
        (vec![(&long, [1; 32])], KeysRefused::BadId(long.clone())),
        (vec![("a", [1; 32]), ("a", [2; 32])], KeysRefused::DuplicateId("a".into())),
        (vec![("a", [1; 32]), ("b", [0; 32])], KeysRefused::ZeroKey("b".into())),
    ];
    for (keys, refused) in cases {
        assert_eq!(Vault::new(keys.iter().map(|(id, key)| (*id, key))).unwrap_err(), refused);
    }
}

#[test]
fn a_vault_shows_ids_and_no_keys() {
    assert_eq!(format!("{:?}", vault(&[7, 8])), r#"Vault { key_ids: ["k7", "k8"], .. }"#);
    assert_eq!(vault(&[7, 8]).sealing_key_id(), "k7");
    assert!(vault(&[7, 8]).key_ids().eq(["k7", "k8"]));
}
