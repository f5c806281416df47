//! Page tokens: what nobody sealed does not open; what was sealed does, for the same tenant and filter.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_vault::Vault;

fuzz_target!(|input: (&str, &[u8], &[u8])| {
    let (token, filter, cursor) = input;
    let vault = Vault::new([("a", &[1; 32]), ("b", &[2; 32])]).expect("two keys are good");
    assert!(vault.open_token("acme", filter, token).is_err(), "forged");
    if let Ok(sealed) = vault.seal_token("acme", filter, cursor, [3; 24]) {
        assert_eq!(vault.open_token("acme", filter, &sealed).as_deref(), Ok(cursor));
        assert!(vault.open_token("globex", filter, &sealed).is_err());
    }
});
