-- One tenant with a row in every table that has a tenant. Its texts are its name and its ids are two, so that a test can ask any
-- statement for them without knowing what its arguments mean.

INSERT INTO trunkline.tenants
    (tenant_id, lane, created_at, updated_at)
VALUES (':tenant', :lane, now(), now());
INSERT INTO trunkline.api_keys
    (key_sha256, key_id, tenant_id, name, prefix, scopes, created_at)
VALUES (sha256(':tenant'), ':one', ':tenant', ':tenant', 'tl_', '{read}', now());
INSERT INTO trunkline.endpoints
    (tenant_id, endpoint_id, lane, name, url, operational, ordered, ordering_blocks, payload_filter, paused_until, failing_since, created_at, updated_at)
VALUES (':tenant', ':one', :lane, ':tenant', 'http://:tenant/', false, false, false, '$.a == ":tenant"', now() + interval '1 hour', now(), now(), now()),
       (':tenant', ':two', :lane, 'operational', 'http://:tenant/', true, false, false, NULL, NULL, NULL, now(), now());
INSERT INTO trunkline.endpoint_secrets
    (tenant_id, endpoint_id, secret_id, key_id, sealed, created_at)
VALUES (':tenant', ':one', ':one', 'k', ':tenant', now());
INSERT INTO trunkline.events
    (lane, tenant_id, event_id, type, payload_sha256, payload_bytes, created_at, ordering_key, routed)
SELECT :lane, ':tenant', id, ':tenant', sha256(':tenant'), 9, now(), ':tenant', false
FROM unnest('{:one,:two}'::uuid[]) AS id;
INSERT INTO trunkline.payloads
    (lane, tenant_id, event_id, payload)
SELECT :lane, ':tenant', id, convert_to('{"a":":tenant"}', 'UTF8')
FROM unnest('{:one,:two}'::uuid[]) AS id;
INSERT INTO trunkline.deliveries
    (lane, tenant_id, event_id, endpoint_id, status, due_at, created_at, attempts, last_attempt_at, finished_at, ordering_key, held)
VALUES (:lane, ':tenant', ':one', ':one', 'FAILED', NULL, now(), 1, now(), now(), ':tenant', false),
       (:lane, ':tenant', ':two', ':one', 'PENDING', now(), now(), 0, NULL, NULL, ':tenant', false);
INSERT INTO trunkline.attempts
    (lane, tenant_id, event_id, endpoint_id, attempt, started_at, duration_ms, status_code, outcome, url)
VALUES (:lane, ':tenant', ':one', ':one', 1, now(), 7, 500, 'rejected', 'http://:tenant/');
INSERT INTO trunkline.idempotency_keys
    (lane, tenant_id, key, body_sha256, event_id, expires_at)
VALUES (:lane, ':tenant', ':tenant', sha256(':tenant'), ':one', now());
INSERT INTO trunkline.ordering_keys
    (lane, tenant_id, key, last_event_id)
VALUES (:lane, ':tenant', ':tenant', ':one');
INSERT INTO trunkline.event_types
    (tenant_id, type, schema, enforced, created_at, updated_at)
VALUES (':tenant', ':tenant', '{}', true, now(), now());
INSERT INTO trunkline.replays
    (replay_id, lane, tenant_id, state, after, before, rate_per_second, next_event_id, step_at, created_at, updated_at)
VALUES (':one', :lane, ':tenant', 'running', now() - interval '1 day', now(), 1, ':one', now(), now(), now());
INSERT INTO trunkline.erasures
    (lane, tenant_id, event_id, erasure_id, payload_sha256, erased_at)
VALUES (:lane, ':tenant', ':one', ':one', sha256(':tenant'), now());
INSERT INTO trunkline.receptions
    (scope, enabled, updated_at)
VALUES (':tenant', true, now());
INSERT INTO trunkline.receipts
    (tenant_id, path, webhook_id, received_at)
VALUES (':tenant', '', ':tenant', now());
INSERT INTO trunkline.audit
    (audit_id, at, actor, action, tenant_id)
VALUES (':one', now(), 'anyone', 'tenant.create', ':tenant');
