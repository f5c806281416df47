//! Who switched what: written in the transaction that does it, read by operators.

use chrono::{DateTime, Utc};
use trunkline_domain::{AuditId, KeyId, TenantId};

use crate::events::IdRange;
use crate::{Connection, StoreError, row};

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Whoever has an operator's key, told by the first digits of its SHA-256.
    Operator(String),
    /// Whoever has this key of a tenant.
    Key(KeyId),
    /// Whoever logs in to the database as the connection does: the command line.
    Login,
    /// Nobody was asked.
    Anyone,
    /// A rule of Trunkline's own, which a worker followed.
    Trunkline,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// With its first endpoint and key.
    CreateTenant,
    /// Address or secret of its endpoint `default`, or its retention.
    ChangeTenant,
    /// It publishes nothing and its deliveries wait.
    SuspendTenant,
    /// It is active again.
    ResumeTenant,
    /// For good.
    DeleteTenant,
    /// A further endpoint.
    CreateEndpoint,
    /// Its settings.
    ChangeEndpoint,
    /// By hand.
    EnableEndpoint,
    /// By hand.
    DisableEndpoint,
    /// It answered 410.
    DisableGoneEndpoint,
    /// It failed for days.
    DisableFailingEndpoint,
    /// By hand.
    PauseEndpoint,
    /// By hand.
    ResumeEndpoint,
    /// Its deliveries are signed with another.
    RotateSecret,
    /// Its open deliveries are cancelled.
    DeleteEndpoint,
    /// A further key.
    CreateKey,
    /// For good.
    RevokeKey,
    /// What is said of it, its schema and its retention.
    DescribeEventType,
    /// What was said of it is forgotten.
    DeleteEventType,
    /// Deliveries of the past are made again.
    StartReplay,
    /// By hand.
    PauseReplay,
    /// By hand.
    ResumeReplay,
    /// For good.
    CancelReplay,
    /// They are attempted again.
    RequeueDeadLetters,
    /// They are attempted no more.
    PurgeDeadLetters,
    /// Of one event, or by predicate.
    ErasePayloads,
    /// The receiver takes webhooks.
    EnableReception,
    /// The receiver takes none.
    DisableReception,
    /// Every endpoint is paused after the database was restored to an earlier moment.
    HoldAfterRestore,
    /// What was paused so goes on.
    ReleaseAfterRestore,
    /// What is sealed at rest is sealed again under another key.
    Reencrypt,
    /// The schema is that of a newer release.
    Migrate,
    /// Its tables lie on the nodes of a cluster.
    Distribute,
    /// What is older than it is kept goes now.
    ApplyRetention,
}

impl Action {
    /// As the table and the answers have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CreateTenant => "tenant.create",
            Self::ChangeTenant => "tenant.change",
            Self::SuspendTenant => "tenant.suspend",
            Self::ResumeTenant => "tenant.resume",
            Self::DeleteTenant => "tenant.delete",
            Self::CreateEndpoint => "endpoint.create",
            Self::ChangeEndpoint => "endpoint.change",
            Self::EnableEndpoint => "endpoint.enable",
            Self::DisableEndpoint => "endpoint.disable",
            Self::DisableGoneEndpoint => "endpoint.disable_gone",
            Self::DisableFailingEndpoint => "endpoint.disable_failing",
            Self::PauseEndpoint => "endpoint.pause",
            Self::ResumeEndpoint => "endpoint.resume",
            Self::RotateSecret => "endpoint.rotate_secret",
            Self::DeleteEndpoint => "endpoint.delete",
            Self::CreateKey => "api_key.create",
            Self::RevokeKey => "api_key.revoke",
            Self::DescribeEventType => "event_type.describe",
            Self::DeleteEventType => "event_type.delete",
            Self::StartReplay => "replay.start",
            Self::PauseReplay => "replay.pause",
            Self::ResumeReplay => "replay.resume",
            Self::CancelReplay => "replay.cancel",
            Self::RequeueDeadLetters => "dead_letters.requeue",
            Self::PurgeDeadLetters => "dead_letters.purge",
            Self::ErasePayloads => "payloads.erase",
            Self::EnableReception => "reception.enable",
            Self::DisableReception => "reception.disable",
            Self::HoldAfterRestore => "restore.hold",
            Self::ReleaseAfterRestore => "restore.release",
            Self::Reencrypt => "secrets.reencrypt",
            Self::Migrate => "schema.migrate",
            Self::Distribute => "schema.distribute",
            Self::ApplyRetention => "retention.apply",
        }
    }
}

/// Something about to be written down.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Who.
    pub actor: &'a Actor,
    /// What.
    pub action: Action,
    /// Whose it was; `None` = of all tenants.
    pub tenant_id: Option<&'a TenantId>,
    /// The endpoint, key, replay, erasure, event or event type, as people see its id; the key or version that holds from now on;
    /// `None` = the tenant itself, or all of them.
    pub target: Option<String>,
    /// The answer's `x-request-id`, if it was a request.
    pub request_id: Option<&'a str>,
}

/// Something that was written down.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Names the entry.
    pub audit_id: AuditId,
    /// When it was done.
    pub at: DateTime<Utc>,
    /// As [`Actor`], in words: `operator:...`, `key:...`, `login:...`, `anyone` or `trunkline`.
    pub actor: String,
    /// As [`Action::as_str`].
    pub action: String,
    /// Whose it was; `None` = of all tenants.
    pub tenant_id: Option<TenantId>,
    /// As in [`Entry`].
    pub target: Option<String>,
    /// The answer's `x-request-id`, if it was a request.
    pub request_id: Option<String>,
}

/// Writes down what the transaction of `connection` does.
///
/// # Errors
/// When the database is not available.
pub async fn record(
    connection: &mut Connection,
    entry: Entry<'_>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let actor = match entry.actor {
        Actor::Operator(fingerprint) => Some(format!("operator:{fingerprint}")),
        Actor::Key(key_id) => Some(format!("key:{key_id}")),
        Actor::Anyone => Some("anyone".to_owned()),
        Actor::Trunkline => Some("trunkline".to_owned()),
        Actor::Login => None,
    };
    sqlx::query!(
        r#"
        INSERT INTO trunkline.audit (audit_id, at, actor, action, tenant_id, target, request_id)
        VALUES (trunkline.uuid_v7($1), $1, coalesce($2, 'login:' || session_user), $3, $4, $5, $6)
        "#,
        now,
        actor,
        entry.action.as_str(),
        entry.tenant_id.map(TenantId::as_str),
        entry.target,
        entry.request_id,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// At most `limit` entries, newest first, of one tenant or of all.
///
/// # Errors
/// When the database is not available.
pub async fn list(
    connection: &mut Connection,
    tenant_id: Option<&TenantId>,
    range: IdRange,
    limit: i64,
) -> Result<Vec<Recorded>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT audit_id, at, actor, action, tenant_id, target, request_id
        FROM trunkline.audit
        WHERE audit_id >= $1 AND audit_id < $2 AND ($3::text IS NULL OR tenant_id = $3)
        ORDER BY audit_id DESC
        LIMIT $4
        "#,
        range.from,
        range.before,
        tenant_id.map(TenantId::as_str),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|found| {
            Ok(Recorded {
                audit_id: found.audit_id.into(),
                at: found.at,
                actor: found.actor,
                action: found.action,
                tenant_id: found.tenant_id.map(|id| row::tenant_id("audit", id)).transpose()?,
                target: found.target,
                request_id: found.request_id,
            })
        })
        .collect()
}

/// Forgets at most 1,000 entries from before `before`, and returns how many.
///
/// # Errors
/// When the database is not available.
pub async fn sweep(connection: &mut Connection, before: DateTime<Utc>) -> Result<u64, StoreError> {
    let swept = sqlx::query!(
        r#"
        DELETE FROM trunkline.audit
        WHERE audit_id IN (
            SELECT audit_id
            FROM trunkline.audit
            WHERE audit_id < trunkline.uuid_v7_floor($1)
            ORDER BY audit_id
            LIMIT 1000
        )
        "#,
        before,
    )
    .execute(connection)
    .await?;
    Ok(swept.rows_affected())
}
