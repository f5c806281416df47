-- What users of webhook services expect of endpoints, publishing and steering. Additions only: the release that is running goes
-- on beside it. (No release came before this one, so that the index of deliveries is made on empty tables.)

ALTER TABLE trunkline.endpoints
    ADD COLUMN description        text    CHECK (length(description) <= 500),
    ADD COLUMN metadata           jsonb   NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    ADD COLUMN payload_filter     text    CHECK (octet_length(payload_filter) BETWEEN 1 AND 1024),
    ADD COLUMN ordering_blocks    boolean NOT NULL DEFAULT false,
    ADD COLUMN paused             boolean NOT NULL DEFAULT false,
    ADD COLUMN operational        boolean NOT NULL DEFAULT false,
    ADD COLUMN breaker_open_until timestamptz,
    ADD COLUMN failures           integer NOT NULL DEFAULT 0 CHECK (failures >= 0);
CREATE UNIQUE INDEX endpoints_operational ON trunkline.endpoints (tenant_id) WHERE operational AND deleted_at IS NULL;
COMMENT ON COLUMN trunkline.endpoints.description IS 'What it is for, in its owner''s words.';
COMMENT ON COLUMN trunkline.endpoints.metadata IS 'The owner''s own facts about it: an object of strings. Trunkline only keeps it.';
COMMENT ON COLUMN trunkline.endpoints.payload_filter IS
    'An SQL/JSON path predicate: it gets only events whose payload satisfies it. NULL = all. See trunkline.payload_matches.';
COMMENT ON COLUMN trunkline.endpoints.ordering_blocks IS
    'Where ordered: true = a dead letter keeps those behind it waiting until it is retried or put aside; false = they go on.';
COMMENT ON COLUMN trunkline.endpoints.paused IS 'By hand: deliveries are made but wait until it is resumed.';
COMMENT ON COLUMN trunkline.endpoints.paused_until IS 'Deliveries are made but wait until then (Retry-After).';
COMMENT ON COLUMN trunkline.endpoints.operational IS
    'It gets what Trunkline has to tell the tenant (endpoint.disabled, delivery.exhausted, ...) and no other events.';
COMMENT ON COLUMN trunkline.endpoints.breaker_open_until IS
    'Its circuit breaker opened because most attempts failed; until then nothing is attempted, then one probe.';
COMMENT ON COLUMN trunkline.endpoints.failures IS 'Failed attempts since failing_since, to within a minute.';

-- A delivery of an ordered endpoint carries its key, so that who waits for whom is one index away.
ALTER TABLE trunkline.deliveries ADD COLUMN ordering_key text;
CREATE INDEX deliveries_ordered ON trunkline.deliveries (lane, tenant_id, endpoint_id, ordering_key, event_id)
    WHERE ordering_key IS NOT NULL AND finished_at IS NULL;
COMMENT ON COLUMN trunkline.deliveries.ordering_key IS
    'The event''s, where the endpoint delivers in order: the next is attempted after the one before has come to its end.';

CREATE TABLE trunkline.ordering_keys (
    lane          smallint NOT NULL,
    tenant_id     text     NOT NULL,
    key           text     NOT NULL,
    last_event_id uuid     NOT NULL,
    PRIMARY KEY (lane, tenant_id, key)
);
COMMENT ON TABLE trunkline.ordering_keys IS
    'Order is order of commit: whoever publishes with a key, or finishes a delivery of one, holds its row until the commit.';
COMMENT ON COLUMN trunkline.ordering_keys.lane IS 'Its tenant''s lane.';
COMMENT ON COLUMN trunkline.ordering_keys.tenant_id IS 'Whose it is.';
COMMENT ON COLUMN trunkline.ordering_keys.key IS 'Chosen by the publisher: 1 to 256 visible ASCII characters.';
COMMENT ON COLUMN trunkline.ordering_keys.last_event_id IS 'The last event published with it; the next gets a larger id.';

-- PostgreSQL judges, REST and SQL publish by this one rule. What it cannot judge does not match.
CREATE FUNCTION trunkline.payload_matches(payload bytea, filter text) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN coalesce(jsonb_path_match(convert_from(payload, 'UTF8')::jsonb, filter::jsonpath, '{}', true), false);
EXCEPTION
    -- A statement that is cancelled is none of these: it ends.
    WHEN data_exception OR syntax_error_or_access_rule_violation OR program_limit_exceeded OR internal_error THEN
        RETURN false;
END
$$;
COMMENT ON FUNCTION trunkline.payload_matches(bytea, text) IS
    'Whether a payload satisfies an SQL/JSON path predicate such as $.order.total > 100. Call it with payloads that may be cast '
    'to jsonb only: at most 64 KiB, no \u0000, exponents within 1,000.';

CREATE TABLE trunkline.event_types (
    tenant_id   text        NOT NULL REFERENCES trunkline.tenants (tenant_id),
    type        text        NOT NULL CHECK (length(type) BETWEEN 1 AND 128),
    description text        CHECK (length(description) <= 500),
    schema      json,
    enforced    boolean     NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, type),
    CHECK (NOT enforced OR schema IS NOT NULL)
);
COMMENT ON TABLE trunkline.event_types IS 'The types that a tenant has described. Publishing a type needs no row here.';
COMMENT ON COLUMN trunkline.event_types.tenant_id IS 'Whose it is.';
COMMENT ON COLUMN trunkline.event_types.type IS 'As events carry it.';
COMMENT ON COLUMN trunkline.event_types.description IS 'What it means.';
COMMENT ON COLUMN trunkline.event_types.schema IS 'JSON Schema of its payloads, as it was given.';
COMMENT ON COLUMN trunkline.event_types.enforced IS 'true: REST refuses payloads that do not fit the schema.';
COMMENT ON COLUMN trunkline.event_types.created_at IS 'When it was described first.';
COMMENT ON COLUMN trunkline.event_types.updated_at IS 'When it was changed last.';

CREATE TABLE trunkline.replays (
    replay_id       uuid        PRIMARY KEY,
    lane            smallint    NOT NULL,
    tenant_id       text        NOT NULL REFERENCES trunkline.tenants (tenant_id),
    state           text        NOT NULL CHECK (state IN ('running', 'paused', 'done', 'cancelled')),
    status          text        CHECK (status IN ('DELIVERED', 'FAILED', 'CANCELLED', 'UNROUTED')),
    type            text,
    endpoint_id     uuid,
    after           timestamptz NOT NULL,
    before          timestamptz NOT NULL,
    to_endpoint_id  uuid,
    rate_per_second integer     NOT NULL CHECK (rate_per_second BETWEEN 1 AND 10000),
    next_event_id   uuid        NOT NULL,
    seen            bigint      NOT NULL DEFAULT 0,
    replayed        bigint      NOT NULL DEFAULT 0,
    payload_gone    bigint      NOT NULL DEFAULT 0,
    step_at         timestamptz NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    finished_at     timestamptz,
    CHECK (after < before),
    CHECK ((finished_at IS NOT NULL) = (state IN ('done', 'cancelled')))
);
CREATE INDEX replays_running ON trunkline.replays (step_at) WHERE state = 'running';
CREATE INDEX replays_tenant ON trunkline.replays (tenant_id, replay_id);
COMMENT ON TABLE trunkline.replays IS 'Replays: events of the past delivered again, in steps, by whichever worker is free.';
COMMENT ON COLUMN trunkline.replays.replay_id IS 'UUID version 7; people see it as rpl_ and its 32 hexadecimal digits.';
COMMENT ON COLUMN trunkline.replays.lane IS 'Its tenant''s lane.';
COMMENT ON COLUMN trunkline.replays.tenant_id IS 'Whose it is.';
COMMENT ON COLUMN trunkline.replays.state IS 'running, paused by hand, done, or cancelled by hand.';
COMMENT ON COLUMN trunkline.replays.status IS 'Only events (UNROUTED) or deliveries (else) in this status; NULL = whatever has come to its end.';
COMMENT ON COLUMN trunkline.replays.type IS 'Only events of this type; NULL = all.';
COMMENT ON COLUMN trunkline.replays.endpoint_id IS 'Only deliveries of this endpoint; NULL = all.';
COMMENT ON COLUMN trunkline.replays.after IS 'Only events created later than this.';
COMMENT ON COLUMN trunkline.replays.before IS 'Only events created earlier than this.';
COMMENT ON COLUMN trunkline.replays.to_endpoint_id IS 'Deliver to this endpoint; NULL = to those that had them, or match now where none had.';
COMMENT ON COLUMN trunkline.replays.rate_per_second IS 'Deliveries made due a second at most.';
COMMENT ON COLUMN trunkline.replays.next_event_id IS 'Where the next step begins: events below it have been seen to.';
COMMENT ON COLUMN trunkline.replays.seen IS 'Events looked at so far.';
COMMENT ON COLUMN trunkline.replays.replayed IS 'Deliveries made due so far.';
COMMENT ON COLUMN trunkline.replays.payload_gone IS 'Events that matched but whose payload was erased.';
COMMENT ON COLUMN trunkline.replays.step_at IS 'When the next step is due: it keeps the rate.';
COMMENT ON COLUMN trunkline.replays.created_at IS 'When it was asked for.';
COMMENT ON COLUMN trunkline.replays.updated_at IS 'When it last changed.';
COMMENT ON COLUMN trunkline.replays.finished_at IS 'When it was done or cancelled.';

CREATE TABLE trunkline.erasures (
    lane           smallint    NOT NULL,
    tenant_id      text        NOT NULL,
    event_id       uuid        NOT NULL,
    erasure_id     uuid        NOT NULL,
    payload_sha256 bytea       NOT NULL,
    erased_at      timestamptz NOT NULL,
    PRIMARY KEY (lane, tenant_id, event_id)
);
COMMENT ON TABLE trunkline.erasures IS 'Receipts of payloads that were erased by request.';
COMMENT ON COLUMN trunkline.erasures.lane IS 'Its tenant''s lane.';
COMMENT ON COLUMN trunkline.erasures.tenant_id IS 'Whose it was.';
COMMENT ON COLUMN trunkline.erasures.event_id IS 'Whose payload it was.';
COMMENT ON COLUMN trunkline.erasures.erasure_id IS 'The request that erased it; several events may share one.';
COMMENT ON COLUMN trunkline.erasures.payload_sha256 IS 'What was erased, by its hash.';
COMMENT ON COLUMN trunkline.erasures.erased_at IS 'When it was erased.';
