use proptest::prelude::*;
use trunkline_vault::ApiKey;
use trunkline_vault::api_key::API_KEY_CHARS;

#[test]
fn a_key_keeps_its_form_in_later_releases() {
    let key = ApiKey::from_random([7; 32]);
    assert_eq!(key.expose(), "tl_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwfGJf8V");
    assert_eq!(key.shown_prefix(), "tl_BwcHBwc");
    assert_eq!(ApiKey::parse(key.expose()).unwrap().hash(), key.hash());
}

#[test]
fn garbage_is_no_key() {
    let key = ApiKey::from_random([7; 32]);
    let text = key.expose();
    let cases = [
        String::new(),
        "tl_".into(),
        "garbage".into(),
        text[1..].to_owned(),
        text[..API_KEY_CHARS - 1].to_owned(),
        format!("{text}A"),
        format!(" {text}"),
        format!("{text}\n"),
        format!("TL_{}", &text[3..]),
        format!("sk_{}", &text[3..]),
        format!("tl_{}", "A".repeat(48)),
        format!("tl_{}", "é".repeat(24)),
    ];
    for case in cases {
        assert!(ApiKey::parse(&case).is_none(), "{case:?}");
    }
}

#[test]
fn a_key_does_not_show_itself() {
    assert_eq!(format!("{:?}", ApiKey::from_random([7; 32])), "ApiKey(..)");
}

proptest! {
    #[test]
    fn every_key_is_read_back_and_a_change_of_one_character_is_noticed(
        random in any::<[u8; 32]>(),
        index in any::<prop::sample::Index>(),
        other in "[A-Za-z0-9_-]",
    ) {
        let key = ApiKey::from_random(random);
        let read_back = ApiKey::parse(key.expose()).unwrap();
        prop_assert_eq!(read_back.expose(), key.expose());

        let at = index.index(API_KEY_CHARS);
        let mut changed = key.expose().to_owned();
        changed.replace_range(at..=at, &other);
        prop_assume!(changed != key.expose());
        prop_assert!(ApiKey::parse(&changed).is_none());
    }
}
