-- What happened: partitioned by day on the event's id, which is a UUIDv7 and therefore a time. Every key starts with the
-- lane. No foreign keys and few indexes: each costs every event (docs/DATA_MODEL.md has the measurements).

CREATE TABLE trunkline.events (
    lane           smallint    NOT NULL CHECK (lane BETWEEN 0 AND 63),
    tenant_id      text        NOT NULL,
    event_id       uuid        NOT NULL,
    type           text        CHECK (length(type) BETWEEN 1 AND 128),
    payload_sha256 bytea       NOT NULL CHECK (octet_length(payload_sha256) = 32),
    payload_bytes  integer     NOT NULL CHECK (payload_bytes > 0),
    created_at     timestamptz NOT NULL,
    deliver_at     timestamptz CHECK (deliver_at <= created_at + interval '30 days'),
    ordering_key   text        CHECK (length(ordering_key) BETWEEN 1 AND 256),
    traceparent    text        CHECK (length(traceparent) <= 64),
    routed         boolean     NOT NULL,
    PRIMARY KEY (lane, tenant_id, event_id)
) PARTITION BY RANGE (event_id);
COMMENT ON TABLE trunkline.events IS 'What tenants published. Rows never change.';
COMMENT ON COLUMN trunkline.events.lane IS 'Its tenant''s lane.';
COMMENT ON COLUMN trunkline.events.tenant_id IS 'Who published it.';
COMMENT ON COLUMN trunkline.events.event_id IS 'UUID version 7 of created_at; people see it as evt_ and its 32 hexadecimal digits.';
COMMENT ON COLUMN trunkline.events.type IS 'What happened, such as order.created; NULL = the publisher did not say.';
COMMENT ON COLUMN trunkline.events.payload_sha256 IS 'SHA-256 of the payload; stays when the payload is erased.';
COMMENT ON COLUMN trunkline.events.payload_bytes IS 'Size of the payload.';
COMMENT ON COLUMN trunkline.events.created_at IS 'When it was accepted, by the database''s clock.';
COMMENT ON COLUMN trunkline.events.deliver_at IS 'Not before then; at most 30 days ahead. NULL = at once.';
COMMENT ON COLUMN trunkline.events.ordering_key IS 'Events with the same key reach an ordered endpoint one after another.';
COMMENT ON COLUMN trunkline.events.traceparent IS 'W3C trace context of the publisher, sent on with every attempt.';
COMMENT ON COLUMN trunkline.events.routed IS 'Whether any endpoint matched when it came; false = UNROUTED, kept for a replay.';

CREATE TABLE trunkline.payloads (
    lane      smallint NOT NULL CHECK (lane BETWEEN 0 AND 63),
    tenant_id text     NOT NULL,
    event_id  uuid     NOT NULL,
    payload   bytea,
    PRIMARY KEY (lane, tenant_id, event_id)
) PARTITION BY RANGE (event_id);
COMMENT ON TABLE trunkline.payloads IS 'The content of events, apart from them so that it can be dropped earlier.';
COMMENT ON COLUMN trunkline.payloads.lane IS 'As in events.';
COMMENT ON COLUMN trunkline.payloads.tenant_id IS 'As in events.';
COMMENT ON COLUMN trunkline.payloads.event_id IS 'As in events.';
COMMENT ON COLUMN trunkline.payloads.payload IS
    'The exact bytes received, which are signed and sent; convert_from(payload, ''UTF8'') shows them. NULL = erased.';

CREATE TABLE trunkline.deliveries (
    lane             smallint                  NOT NULL CHECK (lane BETWEEN 0 AND 63),
    tenant_id        text                      NOT NULL,
    event_id         uuid                      NOT NULL,
    endpoint_id      uuid                      NOT NULL,
    status           trunkline.delivery_status NOT NULL,
    held             boolean                   NOT NULL DEFAULT false,
    expedited        boolean                   NOT NULL DEFAULT false,
    attempts         integer                   NOT NULL DEFAULT 0,
    cycle_attempts   integer                   NOT NULL DEFAULT 0,
    due_at           timestamptz,
    lease            bigint,
    leased_until     timestamptz,
    last_attempt_at  timestamptz,
    last_status_code smallint,
    last_error       text                      CHECK (length(last_error) <= 500),
    created_at       timestamptz               NOT NULL,
    finished_at      timestamptz,
    PRIMARY KEY (lane, tenant_id, event_id, endpoint_id),
    CONSTRAINT deliveries_attempts_add_up CHECK (attempts >= cycle_attempts AND cycle_attempts >= 0),
    CONSTRAINT deliveries_pending_is_due_or_held CHECK (status <> 'PENDING' OR (due_at IS NULL) = held),
    CONSTRAINT deliveries_held_is_pending CHECK (NOT held OR status = 'PENDING'),
    CONSTRAINT deliveries_final_is_not_due CHECK (due_at IS NULL OR status IN ('PENDING', 'FAILED')),
    CONSTRAINT deliveries_finished_tells_when CHECK (
        (finished_at IS NOT NULL) = (status IN ('DELIVERED', 'CANCELLED') OR (status = 'FAILED' AND due_at IS NULL))),
    CONSTRAINT deliveries_attempted_tells_when CHECK (
        status NOT IN ('DELIVERED', 'FAILED') OR (attempts > 0 AND last_attempt_at IS NOT NULL)),
    CONSTRAINT deliveries_lease_has_an_end CHECK ((lease IS NULL) = (leased_until IS NULL)),
    CONSTRAINT deliveries_leased_is_due CHECK (lease IS NULL OR (due_at IS NOT NULL AND cycle_attempts > 0))
) PARTITION BY RANGE (event_id);
-- The work that waits, by endpoint and time. A claim changes no column of any index, so that it can be a HOT update.
CREATE INDEX deliveries_due ON trunkline.deliveries (lane, endpoint_id, due_at) WHERE due_at IS NOT NULL;
-- Nearly always empty: what was retried by hand and may pass a pause.
CREATE INDEX deliveries_expedited ON trunkline.deliveries (lane, endpoint_id) WHERE expedited;
-- What tenants look for: neither holds a row for long unless something is wrong.
CREATE INDEX deliveries_pending ON trunkline.deliveries (lane, tenant_id, event_id) WHERE status = 'PENDING';
CREATE INDEX deliveries_failed ON trunkline.deliveries (lane, tenant_id, event_id) WHERE status = 'FAILED';
COMMENT ON TABLE trunkline.deliveries IS 'The status rows: the duty to bring one event to one endpoint. docs/DATA_MODEL.md draws their life.';
COMMENT ON COLUMN trunkline.deliveries.lane IS 'As in events.';
COMMENT ON COLUMN trunkline.deliveries.tenant_id IS 'As in events.';
COMMENT ON COLUMN trunkline.deliveries.event_id IS 'What is to be delivered.';
COMMENT ON COLUMN trunkline.deliveries.endpoint_id IS 'Where to.';
COMMENT ON COLUMN trunkline.deliveries.status IS 'See the type.';
COMMENT ON COLUMN trunkline.deliveries.held IS 'Waits for an earlier event of the same ordering key; due_at is NULL meanwhile.';
COMMENT ON COLUMN trunkline.deliveries.expedited IS 'Retried by hand: its next attempt passes a pause of the endpoint.';
COMMENT ON COLUMN trunkline.deliveries.attempts IS 'Attempts ever started; each has a row in attempts once it ended.';
COMMENT ON COLUMN trunkline.deliveries.cycle_attempts IS 'Attempts started in this cycle; a retry by hand begins a new cycle with a fresh budget.';
COMMENT ON COLUMN trunkline.deliveries.due_at IS 'From when on a worker attempts it by itself; NULL = not by itself. Unchanged while an attempt is under way.';
COMMENT ON COLUMN trunkline.deliveries.lease IS 'Random token of the claim that is attempting it now. An outcome is written only where it still stands.';
COMMENT ON COLUMN trunkline.deliveries.leased_until IS 'From when on another worker may claim it: the first is taken for dead.';
COMMENT ON COLUMN trunkline.deliveries.last_attempt_at IS 'When the last attempt that ended was started.';
COMMENT ON COLUMN trunkline.deliveries.last_status_code IS 'What the endpoint answered to it; NULL = no answer.';
COMMENT ON COLUMN trunkline.deliveries.last_error IS 'Why it failed, in words; NULL = it succeeded.';
COMMENT ON COLUMN trunkline.deliveries.created_at IS 'When the duty arose, mostly with the event.';
COMMENT ON COLUMN trunkline.deliveries.finished_at IS 'When it was delivered, cancelled, or became a dead letter.';

CREATE TABLE trunkline.attempts (
    lane             smallint                  NOT NULL CHECK (lane BETWEEN 0 AND 63),
    tenant_id        text                      NOT NULL,
    event_id         uuid                      NOT NULL,
    endpoint_id      uuid                      NOT NULL,
    attempt          integer                   NOT NULL CHECK (attempt > 0),
    started_at       timestamptz               NOT NULL,
    duration_ms      integer                   CHECK (duration_ms >= 0),
    status_code      smallint,
    outcome          trunkline.attempt_outcome NOT NULL,
    error            text                      CHECK (length(error) <= 500),
    response_excerpt bytea                     CHECK (octet_length(response_excerpt) <= 4096),
    url              text,
    worker           text,
    PRIMARY KEY (lane, tenant_id, event_id, endpoint_id, attempt)
) PARTITION BY RANGE (event_id);
COMMENT ON TABLE trunkline.attempts IS 'Every HTTP call made for a delivery. Rows are added, never changed.';
COMMENT ON COLUMN trunkline.attempts.lane IS 'As in events.';
COMMENT ON COLUMN trunkline.attempts.tenant_id IS 'As in events.';
COMMENT ON COLUMN trunkline.attempts.event_id IS 'As in deliveries.';
COMMENT ON COLUMN trunkline.attempts.endpoint_id IS 'As in deliveries.';
COMMENT ON COLUMN trunkline.attempts.attempt IS 'From 1, one sequence over all cycles of the delivery.';
COMMENT ON COLUMN trunkline.attempts.started_at IS 'When the call began; for an abandoned or superseded one, when it was claimed.';
COMMENT ON COLUMN trunkline.attempts.duration_ms IS 'Milliseconds from the look-up of the name to the last byte read; NULL = unknown.';
COMMENT ON COLUMN trunkline.attempts.status_code IS 'What the endpoint answered; NULL = no answer.';
COMMENT ON COLUMN trunkline.attempts.outcome IS 'See the type.';
COMMENT ON COLUMN trunkline.attempts.error IS 'Why it failed, in words; NULL = it succeeded.';
COMMENT ON COLUMN trunkline.attempts.response_excerpt IS 'The first 4 KiB of the answer''s body, as bytes: it is the endpoint''s text and may be anything.';
COMMENT ON COLUMN trunkline.attempts.url IS 'What was called.';
COMMENT ON COLUMN trunkline.attempts.worker IS 'workers.name of the process that called.';

CREATE TABLE trunkline.idempotency_keys (
    lane        smallint    NOT NULL CHECK (lane BETWEEN 0 AND 63),
    tenant_id   text        NOT NULL,
    key         text        NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    body_sha256 bytea       NOT NULL CHECK (octet_length(body_sha256) = 32),
    event_id    uuid        NOT NULL,
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (lane, tenant_id, key)
);
CREATE INDEX idempotency_keys_expires_at ON trunkline.idempotency_keys (expires_at);
COMMENT ON TABLE trunkline.idempotency_keys IS
    'Which event a publisher''s Idempotency-Key made. Not partitioned, because a unique key cannot span partitions by time.';
COMMENT ON COLUMN trunkline.idempotency_keys.lane IS 'As in events.';
COMMENT ON COLUMN trunkline.idempotency_keys.tenant_id IS 'Keys are per tenant.';
COMMENT ON COLUMN trunkline.idempotency_keys.key IS 'As the publisher sent it.';
COMMENT ON COLUMN trunkline.idempotency_keys.body_sha256 IS 'Of type and payload: the same key with another body is refused.';
COMMENT ON COLUMN trunkline.idempotency_keys.event_id IS 'The event that the first request made.';
COMMENT ON COLUMN trunkline.idempotency_keys.expires_at IS 'From when on the key may make a new event; rows are swept afterwards.';

CREATE TABLE trunkline.history_partitions (
    from_day   date        PRIMARY KEY,
    until_day  date        NOT NULL CHECK (until_day > from_day),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE trunkline.history_partitions IS
    'Which days (UTC) have partitions: events, payloads, deliveries and attempts each have one named <table>_<from_day>.';
COMMENT ON COLUMN trunkline.history_partitions.from_day IS 'The first day in it.';
COMMENT ON COLUMN trunkline.history_partitions.until_day IS 'The first day after it.';
COMMENT ON COLUMN trunkline.history_partitions.created_at IS 'When the partitions were made.';

-- A new partition is made beside its parent and attached: ATTACH takes SHARE UPDATE EXCLUSIVE, which lets reads and
-- writes go on, where CREATE TABLE ... PARTITION OF would stop them.
CREATE FUNCTION trunkline.create_partitions(ahead_days integer DEFAULT 7, width_days integer DEFAULT 1)
RETURNS integer
LANGUAGE plpgsql
SET timezone = 'UTC'
AS $$
DECLARE
    parent    text;
    partition text;
    storage   text;
    first_day date;
    made      integer := 0;
BEGIN
    IF ahead_days NOT BETWEEN 0 AND 3650 OR width_days NOT BETWEEN 1 AND 366 THEN
        RAISE EXCEPTION 'partitions are made 0 to 3650 days ahead and are 1 to 366 days wide';
    END IF;
    -- One maker at a time; the number is arbitrary and used for nothing else.
    PERFORM pg_advisory_xact_lock(7310582647);
    LOOP
        -- The first partition starts a day early, for clocks that are behind.
        SELECT coalesce(max(until_day), current_date - 1) INTO first_day FROM trunkline.history_partitions;
        EXIT WHEN first_day > current_date + ahead_days;
        FOREACH parent IN ARRAY ARRAY['events', 'payloads', 'deliveries', 'attempts'] LOOP
            partition := parent || '_' || to_char(first_day, 'YYYYMMDD');
            storage := CASE parent
                -- Room for the claim and the outcome on the row's own page; status rows change twice, so vacuum soon.
                WHEN 'deliveries' THEN 'fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, '
                    'autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0'
                ELSE 'autovacuum_vacuum_insert_scale_factor = 0.1'
            END;
            EXECUTE format(
                'CREATE TABLE trunkline.%I (LIKE trunkline.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS '
                'INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING COMMENTS) WITH (%s)', partition, parent, storage);
            EXECUTE format('COMMENT ON TABLE trunkline.%I IS %L', partition,
                format('The part of trunkline.%s from %s on (UTC).', parent, first_day));
            EXECUTE format(
                'ALTER TABLE trunkline.%I ATTACH PARTITION trunkline.%I FOR VALUES FROM (%L) TO (%L)',
                parent, partition,
                trunkline.uuid_v7_floor(first_day::timestamptz),
                trunkline.uuid_v7_floor((first_day + width_days)::timestamptz));
        END LOOP;
        INSERT INTO trunkline.history_partitions (from_day, until_day) VALUES (first_day, first_day + width_days);
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION trunkline.create_partitions(integer, integer) IS
    'Makes the partitions of the coming days, each width_days wide, without gaps; returns how many. Safe to call at any time.';

DO $$
BEGIN
    -- lz4 costs a tenth of the time of pglz; a server built without it keeps its default.
    ALTER TABLE trunkline.payloads ALTER COLUMN payload SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END
$$;

CREATE VIEW trunkline.readable_events WITH (security_invoker = true) AS
    SELECT e.tenant_id, 'evt_' || replace(e.event_id::text, '-', '') AS event, e.type, e.created_at, e.event_id,
           convert_from(p.payload, 'UTF8') AS payload
    FROM trunkline.events AS e
    LEFT JOIN trunkline.payloads AS p USING (lane, tenant_id, event_id);
COMMENT ON VIEW trunkline.readable_events IS 'Events as people see them: the id as the API shows it, the payload as text.';
