//! What a secret may be, which key it gives, and that it does not show itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use trunkline_signing::{Secret, SecretError};

fn whsec(bytes: usize) -> String {
    format!("whsec_{}", STANDARD.encode(vec![7; bytes]))
}

#[test]
fn a_chosen_secret_is_base64_of_24_to_64_bytes_or_as_many_visible_characters() {
    let unpadded = whsec(32).trim_end_matches('=').to_owned();
    let url_safe = format!("whsec_{}", "-_".repeat(22));
    // The last character before the padding carries four bits that must be zero: two spellings of one key otherwise.
    let trailing_bits = format!("whsec_{}B=", "A".repeat(42));
    let cases: Vec<(String, Option<SecretError>)> = vec![
        (whsec(24), None),
        (whsec(32), None),
        (whsec(64), None),
        (whsec(23), Some(SecretError::NotBase64)),
        (whsec(65), Some(SecretError::NotBase64)),
        ("whsec_".into(), Some(SecretError::NotBase64)),
        ("whsec_this-is-visible-but-not-base64".into(), Some(SecretError::NotBase64)),
        (unpadded, Some(SecretError::NotBase64)),
        (url_safe, Some(SecretError::NotBase64)),
        (trailing_bits, Some(SecretError::NotBase64)),
        (format!("{}\n", whsec(32)), Some(SecretError::NotBase64)),
        ("x".repeat(24), None),
        ("~!".repeat(32), None),
        (format!("WHSEC_{}", "x".repeat(24)), None),
        (String::new(), Some(SecretError::NotVisible)),
        ("x".repeat(23), Some(SecretError::NotVisible)),
        ("x".repeat(65), Some(SecretError::NotVisible)),
        (format!("{} {}", "x".repeat(12), "x".repeat(12)), Some(SecretError::NotVisible)),
        (format!("{}\u{7f}", "x".repeat(24)), Some(SecretError::NotVisible)),
        (format!("{}\0", "x".repeat(24)), Some(SecretError::NotVisible)),
        ("é".repeat(24), Some(SecretError::NotVisible)),
    ];
    for (text, refused) in cases {
        assert_eq!(Secret::parse(&text).err(), refused, "{text:?}");
    }
}

#[test]
fn keys_follow_the_contract() {
    let decoded = Secret::parse(&whsec(24)).unwrap();
    assert_eq!(decoded.standard_key(), [7; 24]);
    assert_eq!(decoded.stripe_key(), whsec(24).as_bytes());

    for whole in ["x".repeat(24), "whsec_not-canonical-base64".into(), "whsec_AAB=".into(), "whsec_".into()] {
        let secret = Secret::from_stored(&whole).unwrap();
        assert_eq!(secret.standard_key(), whole.as_bytes());
        assert_eq!(secret.stripe_key(), whole.as_bytes());
    }
    assert_eq!(Secret::from_stored("").unwrap_err(), SecretError::Empty);
}

#[test]
fn a_generated_secret_is_one_that_a_tenant_could_have_chosen() {
    let secret = Secret::generate([0xA5; 32]);
    assert_eq!(secret.expose().len(), 50);
    assert_eq!(secret.standard_key(), [0xA5; 32]);
    assert_eq!(Secret::parse(secret.expose()).unwrap().standard_key(), secret.standard_key());
}

#[test]
fn a_secret_does_not_show_itself() {
    let secret = Secret::parse("canary-canary-canary-canary").unwrap();
    assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "Secret(..) Some(Secret(..))");
    let refused = Secret::parse("canary canary canary canary").unwrap_err();
    assert!(!format!("{refused} {refused:?}").contains("canary"));
}
