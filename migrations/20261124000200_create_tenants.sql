-- Who uses Trunkline, and where their events go. Small tables, changed rarely.

CREATE TABLE trunkline.tenants (
    tenant_id       text                    PRIMARY KEY CHECK (tenant_id ~ '^[a-z0-9-]{3,50}$'),
    lane            smallint                NOT NULL REFERENCES trunkline.lanes (lane),
    status          trunkline.tenant_status NOT NULL DEFAULT 'ACTIVE',
    rate_per_second integer                 CHECK (rate_per_second >= 0),
    burst           integer                 CHECK (burst > 0),
    created_at      timestamptz             NOT NULL,
    updated_at      timestamptz             NOT NULL
);
COMMENT ON TABLE trunkline.tenants IS 'One row a tenant, kept for ever: an id is never given a second time.';
COMMENT ON COLUMN trunkline.tenants.tenant_id IS 'Chosen by the operator: 3 to 50 characters of a-z, 0-9 and -.';
COMMENT ON COLUMN trunkline.tenants.lane IS 'Where all its work belongs. Stored, not computed; never changed.';
COMMENT ON COLUMN trunkline.tenants.status IS 'See the type.';
COMMENT ON COLUMN trunkline.tenants.rate_per_second IS 'Events a second it may publish; NULL = the setting ingest.rate_per_tenant, 0 = no limit.';
COMMENT ON COLUMN trunkline.tenants.burst IS 'Events it may publish at once; NULL = the setting ingest.burst_per_tenant.';
COMMENT ON COLUMN trunkline.tenants.created_at IS 'When it was created.';
COMMENT ON COLUMN trunkline.tenants.updated_at IS 'When it or its default endpoint was last changed.';

CREATE TABLE trunkline.api_keys (
    key_sha256   bytea       PRIMARY KEY CHECK (octet_length(key_sha256) = 32),
    key_id       uuid        NOT NULL UNIQUE,
    tenant_id    text        NOT NULL REFERENCES trunkline.tenants (tenant_id),
    name         text        NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    prefix       text        NOT NULL CHECK (length(prefix) <= 16),
    scopes       text[]      NOT NULL CHECK (scopes <@ ARRAY['read', 'write'] AND cardinality(scopes) > 0),
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
CREATE INDEX api_keys_tenant_id ON trunkline.api_keys (tenant_id);
COMMENT ON TABLE trunkline.api_keys IS 'The keys tenants call the API with. Only their hashes: a key is shown once, when it is made.';
COMMENT ON COLUMN trunkline.api_keys.key_sha256 IS 'SHA-256 of the whole key. Enough, because keys are 256 random bits.';
COMMENT ON COLUMN trunkline.api_keys.key_id IS 'How people and scripts name the key.';
COMMENT ON COLUMN trunkline.api_keys.tenant_id IS 'Whose it is; a key belongs to one tenant.';
COMMENT ON COLUMN trunkline.api_keys.name IS 'What it is for, in its owner''s words.';
COMMENT ON COLUMN trunkline.api_keys.prefix IS 'Its first characters, so that people recognise it.';
COMMENT ON COLUMN trunkline.api_keys.scopes IS 'read: see history. write: publish, retry, cancel, change.';
COMMENT ON COLUMN trunkline.api_keys.created_at IS 'When it was made.';
COMMENT ON COLUMN trunkline.api_keys.expires_at IS 'From when on it is refused; NULL = never.';
COMMENT ON COLUMN trunkline.api_keys.revoked_at IS 'When it was revoked; every api process refuses it within 5 seconds.';
COMMENT ON COLUMN trunkline.api_keys.last_used_at IS 'When it was last seen, to within a minute.';

CREATE TABLE trunkline.endpoints (
    tenant_id          text        NOT NULL REFERENCES trunkline.tenants (tenant_id),
    endpoint_id        uuid        NOT NULL,
    lane               smallint    NOT NULL REFERENCES trunkline.lanes (lane),
    name               text        NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    url                text        NOT NULL CHECK (length(url) <= 2048),
    event_types        text[],
    enabled            boolean     NOT NULL DEFAULT true,
    disabled_reason    text        CHECK (disabled_reason IN ('manual', 'gone', 'failing')),
    paused_until       timestamptz,
    custom_headers     jsonb       NOT NULL DEFAULT '{}',
    rate_per_second    integer     CHECK (rate_per_second > 0),
    in_flight_max      integer     CHECK (in_flight_max > 0),
    timeout_ms         integer     CHECK (timeout_ms >= 1000),
    retry_schedule_ms  bigint[],
    ordered            boolean     NOT NULL DEFAULT false,
    failing_since      timestamptz,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    deleted_at         timestamptz,
    PRIMARY KEY (tenant_id, endpoint_id),
    CHECK (enabled = (disabled_reason IS NULL)),
    CHECK (deleted_at IS NULL OR NOT enabled)
);
CREATE UNIQUE INDEX endpoints_name ON trunkline.endpoints (tenant_id, name) WHERE deleted_at IS NULL;
COMMENT ON TABLE trunkline.endpoints IS 'Where a tenant''s events are delivered. Its first one is named default.';
COMMENT ON COLUMN trunkline.endpoints.tenant_id IS 'Whose it is.';
COMMENT ON COLUMN trunkline.endpoints.endpoint_id IS 'UUID version 7; people see it as ep_ and its 32 hexadecimal digits.';
COMMENT ON COLUMN trunkline.endpoints.lane IS 'Its tenant''s lane.';
COMMENT ON COLUMN trunkline.endpoints.name IS 'Unique among the tenant''s endpoints that are not deleted.';
COMMENT ON COLUMN trunkline.endpoints.url IS 'In canonical form, checked when saved and again at every attempt.';
COMMENT ON COLUMN trunkline.endpoints.event_types IS 'Which events it gets: exact types or prefixes such as order.*; NULL = all.';
COMMENT ON COLUMN trunkline.endpoints.enabled IS 'false: new events do not match it, and its open deliveries wait.';
COMMENT ON COLUMN trunkline.endpoints.disabled_reason IS 'manual: by hand. gone: it answered 410. failing: it failed for days without one success.';
COMMENT ON COLUMN trunkline.endpoints.paused_until IS 'Deliveries are made but wait until then (Retry-After); infinity = paused by hand.';
COMMENT ON COLUMN trunkline.endpoints.custom_headers IS 'Sent with every attempt: an object of names and values.';
COMMENT ON COLUMN trunkline.endpoints.rate_per_second IS 'Attempts a second at most; NULL = no limit.';
COMMENT ON COLUMN trunkline.endpoints.in_flight_max IS 'Attempts at one time at most; NULL = the setting worker.endpoint_concurrency.';
COMMENT ON COLUMN trunkline.endpoints.timeout_ms IS 'Deadline of one attempt, milliseconds; NULL = the setting delivery.timeout.';
COMMENT ON COLUMN trunkline.endpoints.retry_schedule_ms IS 'Waits between attempts, milliseconds; NULL = the setting delivery.retry_schedule.';
COMMENT ON COLUMN trunkline.endpoints.ordered IS 'true: events with the same ordering key are attempted strictly one after another.';
COMMENT ON COLUMN trunkline.endpoints.failing_since IS 'The first failure since the last success; NULL = the last attempt succeeded, or none was made.';
COMMENT ON COLUMN trunkline.endpoints.created_at IS 'When it was created.';
COMMENT ON COLUMN trunkline.endpoints.updated_at IS 'When it was last changed by a person.';
COMMENT ON COLUMN trunkline.endpoints.deleted_at IS 'When it was deleted; the row stays because history names it.';

CREATE TABLE trunkline.endpoint_secrets (
    tenant_id   text        NOT NULL,
    endpoint_id uuid        NOT NULL,
    secret_id   uuid        NOT NULL,
    key_id      text        NOT NULL,
    sealed      bytea       NOT NULL CHECK (octet_length(sealed) <= 512),
    created_at  timestamptz NOT NULL,
    valid_until timestamptz,
    PRIMARY KEY (tenant_id, endpoint_id, secret_id),
    FOREIGN KEY (tenant_id, endpoint_id) REFERENCES trunkline.endpoints (tenant_id, endpoint_id)
);
COMMENT ON TABLE trunkline.endpoint_secrets IS 'The secrets deliveries are signed with, encrypted; during a rotation an endpoint has several.';
COMMENT ON COLUMN trunkline.endpoint_secrets.tenant_id IS 'Whose it is; part of the associated data, so that a sealed secret opens nowhere else.';
COMMENT ON COLUMN trunkline.endpoint_secrets.endpoint_id IS 'Whose deliveries it signs; part of the associated data too.';
COMMENT ON COLUMN trunkline.endpoint_secrets.secret_id IS 'UUID version 7, so that the newest secret sorts last.';
COMMENT ON COLUMN trunkline.endpoint_secrets.key_id IS 'Which of the setting secrets.keys sealed it.';
COMMENT ON COLUMN trunkline.endpoint_secrets.sealed IS 'Nonce and ciphertext (XChaCha20-Poly1305).';
COMMENT ON COLUMN trunkline.endpoint_secrets.created_at IS 'When it was set.';
COMMENT ON COLUMN trunkline.endpoint_secrets.valid_until IS 'Until when an old secret still signs beside the new one; NULL = current.';
