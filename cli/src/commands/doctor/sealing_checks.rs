//! What is sealed at rest: can it be opened, and is a rotation of its keys finished?

use trunkline_boot::Settings;
use trunkline_boot::settings::SecretsKey;
use trunkline_store::{Connection, StoreError, endpoints};
use trunkline_vault::Vault;

use super::check::Check;
use crate::sealing_keys::{SealingKey, State, sealing_keys};

const NAME: &str = "sealed";

/// Looks at every sealed row. Without usable keys there is nothing to compare with; that is told of the settings already.
pub(super) async fn all(
    connection: &mut Connection,
    settings: &Settings,
) -> Result<Option<Check>, StoreError> {
    let Ok(vault) = Vault::new(settings.secrets.keys.iter().map(SecretsKey::as_pair)) else {
        return Ok(None);
    };
    let judged = endpoints::count_by_key(connection).await.map(|uses| judge(&sealing_keys(&vault, uses)));
    Ok(Some(Check::if_allowed(NAME, judged)?))
}

fn judge(keys: &[SealingKey]) -> Check {
    let of = |state: State| keys.iter().filter(move |key| key.state == state);
    let named = |state: State| {
        let parts: Vec<String> = of(state)
            .map(|key| format!("{} under {}", key.count(), key.key_id.as_deref().unwrap_or("no key")))
            .collect();
        parts.join(", ")
    };
    if of(State::Missing).next().is_some() {
        return Check::fail(
            NAME,
            format!("{}, which secrets.keys does not have", named(State::Missing)),
            "put the key back: deliveries that need what it sealed fail until then",
        );
    }
    let waiting: Vec<String> = [named(State::Opens), named(State::NeverSealed)]
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect();
    if !waiting.is_empty() {
        let advice = "run `trunkline secrets reencrypt`; then the keys that nothing needs can be removed";
        return Check::warn(NAME, waiting.join(", "), advice);
    }
    let unused: Vec<&str> = of(State::Unused).filter_map(|key| key.key_id.as_deref()).collect();
    if unused.is_empty() {
        Check::ok(NAME, named(State::Seals))
    } else {
        Check::ok(NAME, format!("{}; {} may be removed", named(State::Seals), unused.join(", ")))
    }
}
