use std::time::Duration;

use secrecy::SecretString;
use trunkline_boot::Settings;
use trunkline_boot::random::random_bytes;
use trunkline_boot::settings::SecretsKey;
use trunkline_domain::{EndpointId, EventId, KeyId, Lane, NewEvent, TenantId};
use trunkline_signing::Secret;
use trunkline_store::api_keys::NewKey;
use trunkline_store::endpoints::{self, NewEndpoint, NewSecret};
use trunkline_store::tenants::{self, NewTenant};
use trunkline_store::wake::{self, Wake};
use trunkline_store::{events, time};
use trunkline_vault::{ApiKey, Vault};

use crate::TestDatabase;

/// Opens operator routes under [`settings`].
pub const OPERATOR_KEY: &str = "operator-key-of-the-tests";

/// Settings for doors under test: free ports on loopback, quick retries without chance, loopback endpoints allowed.
///
/// # Panics
/// Never: loopback is a network.
pub fn settings(database: &TestDatabase) -> Settings {
    let mut settings = Settings::default();
    let free_port = "127.0.0.1:0".parse().unwrap();
    settings.api.bind = free_port;
    settings.receiver.bind = free_port;
    settings.admin.bind = free_port;
    settings.database.url = Some(SecretString::from(database.url().to_owned()));
    settings.operator.keys = vec![SecretString::from(OPERATOR_KEY)];
    settings.secrets.keys = vec![SecretsKey::new("test".to_owned(), &[7; 32])];
    settings.egress.allow = vec!["127.0.0.0/8".parse().unwrap()];
    settings.delivery.retry_schedule = vec![Duration::from_millis(50), Duration::from_millis(100)];
    settings.delivery.retry_jitter = 0.0;
    settings
}

/// A tenant made for a test, with the secrets that are otherwise shown once.
#[derive(Clone)]
pub struct SeededTenant {
    /// Its name.
    pub tenant_id: TenantId,
    /// Where its work belongs.
    pub lane: Lane,
    /// With both scopes.
    pub api_key: String,
    /// What deliveries to its default endpoint are signed with.
    pub webhook_secret: String,
    /// Its default endpoint.
    pub endpoint_id: EndpointId,
}

/// Creates a tenant whose default endpoint is `url`, as the api would.
///
/// # Panics
/// When the id is no tenant's or was used before.
pub async fn seed_tenant(
    database: &TestDatabase,
    settings: &Settings,
    tenant_id: &str,
    url: &str,
) -> SeededTenant {
    let tenant_id: TenantId = tenant_id.parse().unwrap();
    let mut connection = database.borrow().await;
    let now = time::now(&mut connection).await.unwrap();
    let endpoint_id = EndpointId::mint(now, random());
    let secret = Secret::generate(random_bytes());
    let text = secret.expose().as_bytes();
    let sealed = vault(settings).seal_secret(&tenant_id, endpoint_id, text, random_bytes()).unwrap();
    let key = ApiKey::from_random(random_bytes());
    let new = NewTenant {
        tenant_id: &tenant_id,
        endpoint_id,
        url,
        secret: NewSecret {
            secret_id: EndpointId::mint(now, random()).as_uuid(),
            key_id: &sealed.key_id,
            sealed: &sealed.bytes,
        },
        key: NewKey {
            sha256: key.hash(),
            key_id: KeyId::mint(now, random()),
            name: "test",
            prefix: key.shown_prefix(),
            may_read: true,
            may_write: true,
            expires_at: None,
        },
        created_at: now,
    };
    assert!(tenants::create(&mut connection, &new).await.unwrap(), "{tenant_id} exists already");
    let tenant = tenants::find(&mut connection, &tenant_id).await.unwrap().unwrap();
    SeededTenant {
        tenant_id,
        lane: tenant.lane,
        api_key: key.expose().to_owned(),
        webhook_secret: secret.expose().to_owned(),
        endpoint_id,
    }
}

/// Adds an endpoint to a tenant, with a secret of its own.
///
/// # Panics
/// When the tenant has an endpoint of that name.
pub async fn seed_endpoint(
    database: &TestDatabase,
    settings: &Settings,
    tenant: &SeededTenant,
    name: &str,
    url: &str,
) -> EndpointId {
    let mut connection = database.borrow().await;
    let now = time::now(&mut connection).await.unwrap();
    let endpoint_id = EndpointId::mint(now, random());
    let secret = Secret::generate(random_bytes());
    let text = secret.expose().as_bytes();
    let sealed = vault(settings).seal_secret(&tenant.tenant_id, endpoint_id, text, random_bytes()).unwrap();
    let new = NewEndpoint {
        tenant_id: &tenant.tenant_id,
        endpoint_id,
        name,
        url,
        secret: NewSecret {
            secret_id: EndpointId::mint(now, random()).as_uuid(),
            key_id: &sealed.key_id,
            sealed: &sealed.bytes,
        },
        created_at: now,
    };
    assert!(endpoints::create(&mut connection, &new).await.unwrap(), "{name} exists already");
    endpoint_id
}

/// Stores an event straight in the database, as the api would after its checks, and wakes the workers.
///
/// # Panics
/// When the database is gone.
pub async fn publish(database: &TestDatabase, tenant: &SeededTenant, payload: &str) -> EventId {
    let mut connection = database.borrow().await;
    let created_at = time::now(&mut connection).await.unwrap();
    let event = NewEvent {
        lane: tenant.lane,
        tenant_id: tenant.tenant_id.clone(),
        event_id: EventId::mint(created_at, random()),
        event_type: Some("test.happened".parse().unwrap()),
        created_at,
        deliver_at: None,
        ordering_key: None,
        traceparent: None,
        is_judged: true,
        payload: bytes::Bytes::copy_from_slice(payload.as_bytes()),
        payload_sha256: [0; 32],
    };
    let event_id = event.event_id;
    let routing = events::publish(&mut connection, &[event], events::Filters::Judged).await.unwrap();
    wake::notify(&mut connection, &Wake::of(routing.endpoints)).await.unwrap();
    event_id
}

/// The vault that doors with these settings have.
///
/// # Panics
/// When the settings have no keys.
pub fn vault(settings: &Settings) -> Vault {
    Vault::new(settings.secrets.keys.iter().map(SecretsKey::as_pair)).unwrap()
}

fn random() -> u64 {
    u64::from_ne_bytes(random_bytes())
}
