//! URLs of endpoints: no panic; what passes is canonical, passes again, and names no address that is forbidden.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_egress::EgressPolicy;

fuzz_target!(|text: &str| {
    let policy = EgressPolicy::default();
    let Ok(url) = policy.check_url(text) else { return };
    assert_eq!(policy.check_url(url.as_str()).as_ref(), Ok(&url), "what is stored is not what was checked");
    if let Some(address) = url.host_address() {
        assert_eq!(policy.check_address(address), Ok(()));
    }
    assert!(url.as_str().starts_with("http"));
    assert!(url.path_and_query().starts_with('/'));
    assert!(!url.authority().contains('@'));
});
