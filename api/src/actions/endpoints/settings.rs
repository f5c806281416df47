//! Settings in a body: what is absent stays as it is, null stands for the default.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use secrecy::zeroize::Zeroizing;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use trunkline_boot::random::random_bytes;
use trunkline_domain::endpoint::{OPERATIONAL_NAME, Ordering, Refused};
use trunkline_domain::{EndpointId, EndpointSettings, TenantId};
use trunkline_store::{Connection, endpoints};
use trunkline_vault::Vault;
use utoipa::ToSchema;

use super::target_url;
use crate::body::present;
use crate::problem::Problem;
use crate::saving::OPERATIONAL_ONLY;
use crate::state::State;

/// Settings of an endpoint: null stands for the default. A new one needs `name` and `url`; in a change, what is absent stays. Lists and
/// objects are replaced whole.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettingsChange {
    /// Only when it is created: `whsec_` and base64 of 24-64 bytes, or 24-64 visible ASCII characters; one is made where there is none.
    pub(super) webhook_secret: Option<String>,
    /// 1 to 100 characters, unique among your endpoints.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String)]
    pub(super) name: Option<Option<String>>,
    /// Where events go: http or https, at a public address.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, example = "https://example.com/webhooks")]
    pub(super) url: Option<Option<String>>,
    /// At most 500 characters.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<String>>,
    /// Your own facts: at most 50 strings.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    metadata: Option<Option<StringMap>>,
    /// 1 to 100 exact types, or prefixes such as `order.*`; null = all.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>)]
    event_types: Option<Option<Vec<String>>>,
    /// An SQL/JSON path predicate of at most 1,024 bytes, without like_regex; null = all.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, example = "$.total > 100")]
    payload_filter: Option<Option<String>>,
    /// At most 20, sent with every attempt; not ours, and none that frames or routes a request.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    custom_headers: Option<Option<StringMap>>,
    /// Deadline of one attempt, from 1000.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>)]
    timeout_ms: Option<Option<u64>>,
    /// At most 20 waits of 1000 to 604800000; [] = one attempt only.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<u64>>)]
    retry_schedule_ms: Option<Option<Vec<u64>>>,
    /// 1 to 10000 attempts a second; null = no limit.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u32>)]
    rate_per_second: Option<Option<u32>>,
    /// 1 to 1000 attempts at one time.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u32>)]
    in_flight_max: Option<Option<u32>>,
    /// none, or events with one ordering key wait for each other: skip = behind a dead letter the next goes on, block = it waits too.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, example = "skip")]
    ordering: Option<Option<Ordering>>,
}

impl SettingsChange {
    /// The settings as they will be, by every rule but PostgreSQL's own for filters: see [`Self::check_filter`]. Values of
    /// headers are sealed for the endpoint; `settings` has them sealed already.
    ///
    /// # Errors
    /// 422 naming the first field that breaks a rule.
    pub(super) fn apply(
        self,
        state: &State,
        (tenant_id, endpoint_id): (&TenantId, EndpointId),
        mut settings: EndpointSettings,
        is_operational: bool,
    ) -> Result<EndpointSettings, Problem> {
        // What is sealed was checked before it was, and is longer now than a header may be.
        let sealed_before = std::mem::take(&mut settings.custom_headers);
        let are_headers_kept = self.custom_headers.is_none();
        if let Some(name) = self.name {
            settings.name = name.ok_or_else(|| no_default("name"))?;
        }
        if let Some(url) = self.url {
            let url = url.ok_or_else(|| no_default("url"))?;
            settings.url = target_url(state, &url)?.as_str().to_owned();
        }
        replace(&mut settings.description, self.description);
        replace(&mut settings.event_types, self.event_types);
        replace(&mut settings.payload_filter, self.payload_filter);
        replace(&mut settings.timeout, self.timeout_ms.map(|ms| ms.map(Duration::from_millis)));
        let waits = |waits: Vec<u64>| waits.into_iter().map(Duration::from_millis).collect();
        replace(&mut settings.retry_schedule, self.retry_schedule_ms.map(|schedule| schedule.map(waits)));
        replace(&mut settings.rate_per_second, self.rate_per_second);
        replace(&mut settings.in_flight_max, self.in_flight_max);
        replace(&mut settings.metadata, self.metadata.map(|map| map.unwrap_or_default().0));
        replace(&mut settings.custom_headers, self.custom_headers.map(|map| map.unwrap_or_default().0));
        replace(&mut settings.ordering, self.ordering.map(Option::unwrap_or_default));
        settings.check(state.attempt_timeout_max).map_err(refuse)?;
        if (settings.name == OPERATIONAL_NAME) != is_operational {
            return Err(Problem::bad_field("name", OPERATIONAL_ONLY));
        }
        settings.custom_headers = if are_headers_kept {
            sealed_before
        } else {
            let chosen = std::mem::take(&mut settings.custom_headers);
            seal_headers(&state.vault, tenant_id, endpoint_id, chosen, &sealed_before)?
        };
        Ok(settings)
    }

    /// Lets PostgreSQL judge a filter that is new. Outside a transaction: a text that is none ends one.
    ///
    /// # Errors
    /// 422 with its complaint.
    pub(super) async fn check_filter(&self, connection: &mut Connection) -> Result<(), Problem> {
        let Some(Some(filter)) = &self.payload_filter else { return Ok(()) };
        // What is too long or holds a NUL is refused by the rules before the server is asked.
        let only = EndpointSettings {
            name: "filter".to_owned(),
            payload_filter: Some(filter.clone()),
            ..EndpointSettings::default()
        };
        only.check(Duration::MAX).map_err(refuse)?;
        let judged = endpoints::check_filter(connection, filter).await?;
        judged.map_err(|complaint| {
            Problem::bad_field(
                "payload_filter",
                &format!("payload_filter is no SQL/JSON path predicate: {complaint}."),
            )
        })
    }
}

/// Values by names in lower case, sealed. One that stays what it was stays as it was sealed, so that nothing changes.
fn seal_headers(
    vault: &Vault,
    tenant_id: &TenantId,
    endpoint_id: EndpointId,
    chosen: BTreeMap<String, String>,
    sealed_before: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Problem> {
    let mut sealed = BTreeMap::new();
    for (name, value) in chosen {
        let name = name.to_ascii_lowercase();
        let value = Zeroizing::new(value);
        let is_the_same = |before: &&String| {
            vault.open_header(tenant_id, endpoint_id, &name, before).is_ok_and(|before| before == value)
        };
        let text = match sealed_before.get(&name).filter(is_the_same) {
            Some(before) => before.clone(),
            None => vault
                .seal_header(tenant_id, endpoint_id, &name, &value, random_bytes())
                .map_err(Problem::internal)?,
        };
        sealed.insert(name, text);
    }
    Ok(sealed)
}

fn replace<T>(setting: &mut T, wanted: Option<T>) {
    if let Some(wanted) = wanted {
        *setting = wanted;
    }
}

fn no_default(field: &str) -> Problem {
    Problem::bad_field(field, &format!("{field} has no default; send a text, or leave it out to keep it."))
}

fn refuse(refused: Refused) -> Problem {
    Problem::bad_field(refused.field, &format!("{refused}."))
}

/// An object of strings in which no key comes twice.
#[derive(Default)]
pub(super) struct StringMap(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for StringMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Strings;

        impl<'de> Visitor<'de> for Strings {
            type Value = StringMap;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<StringMap, A::Error> {
                let mut map = BTreeMap::new();
                while let Some((key, value)) = members.next_entry()? {
                    if map.insert(key, value).is_some() {
                        return Err(A::Error::custom("a key comes twice in one object"));
                    }
                }
                Ok(StringMap(map))
            }
        }

        deserializer.deserialize_map(Strings)
    }
}
