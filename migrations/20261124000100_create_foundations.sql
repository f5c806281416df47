-- What every other table stands on: the schema, the words of the state machine, ids that sort by time, the lanes.

CREATE SCHEMA IF NOT EXISTS trunkline;
COMMENT ON SCHEMA trunkline IS
    'Trunkline, webhook delivery. docs/DATA_MODEL.md explains the tables and draws the life of a delivery.';

CREATE TYPE trunkline.tenant_status AS ENUM ('ACTIVE', 'SUSPENDED', 'DELETED');
COMMENT ON TYPE trunkline.tenant_status IS
    'ACTIVE: publishes and is delivered to. SUSPENDED: may read; publishing is refused and deliveries wait. '
    'DELETED: keys revoked, open deliveries cancelled, secrets and payloads erased; the id is never given again.';

CREATE TYPE trunkline.delivery_status AS ENUM ('PENDING', 'DELIVERED', 'FAILED', 'CANCELLED');
COMMENT ON TYPE trunkline.delivery_status IS
    'PENDING: not attempted yet in this cycle. DELIVERED: an attempt was answered 2xx. FAILED: the last attempt failed; '
    'due_at tells when it is attempted again by itself, NULL = dead letter. CANCELLED: taken back or expired.';

CREATE TYPE trunkline.attempt_outcome AS ENUM (
    'succeeded', 'rejected', 'timeout', 'dns_error', 'tls_error', 'connection_error', 'blocked',
    'internal_error', 'abandoned', 'superseded'
);
COMMENT ON TYPE trunkline.attempt_outcome IS
    'succeeded: answered 2xx. rejected: answered anything else. timeout: no complete answer before the deadline. '
    'dns_error, tls_error, connection_error: no HTTP exchange. blocked: the address may not be called, nothing was '
    'connected. internal_error: no fault of the endpoint. abandoned: the worker disappeared, nobody knows what the '
    'endpoint saw. superseded: cancelled or retried by hand while it was under way.';

-- The same bits as `EventId::mint` in crates/domain; a test holds both against one table of vectors.
CREATE FUNCTION trunkline.uuid_v7(at timestamptz DEFAULT clock_timestamp(), random uuid DEFAULT gen_random_uuid())
RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$
    SELECT (
        lpad(to_hex(micros / 1000), 12, '0')
        || '7' || lpad(to_hex(micros % 1000 * 4096 / 1000), 3, '0')
        || translate(substr(hex, 17, 1), '01234567cdef', '89ab89ab89ab') || substr(hex, 18, 15)
    )::uuid
    FROM (
        SELECT (extract(epoch FROM at) * 1000000)::bigint AS micros, replace(random::text, '-', '') AS hex
    ) AS parts
$$;
COMMENT ON FUNCTION trunkline.uuid_v7(timestamptz, uuid) IS
    'A UUID version 7 (RFC 9562) of that instant: 48 bits of milliseconds, 12 bits of their fraction, 62 random bits.';

CREATE FUNCTION trunkline.uuid_v7_floor(at timestamptz)
RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
COMMENT ON FUNCTION trunkline.uuid_v7_floor(timestamptz) IS
    'The lowest id an event of that millisecond can have. Say event_id >= trunkline.uuid_v7_floor(...) to read few partitions.';

CREATE TABLE trunkline.lanes (
    lane         smallint    PRIMARY KEY CHECK (lane BETWEEN 0 AND 63),
    owner        uuid,
    epoch        bigint      NOT NULL DEFAULT 0,
    leased_until timestamptz,
    CHECK ((owner IS NULL) = (leased_until IS NULL))
);
COMMENT ON TABLE trunkline.lanes IS
    'The 64 shares of all work. A tenant is given one; its events, deliveries and attempts carry it.';
COMMENT ON COLUMN trunkline.lanes.lane IS '0 to 63; written into every row of history, so the number never changes.';
COMMENT ON COLUMN trunkline.lanes.owner IS 'workers.worker_id of the worker that serves the lane alone, if one does.';
COMMENT ON COLUMN trunkline.lanes.epoch IS 'Raised whenever the owner changes.';
COMMENT ON COLUMN trunkline.lanes.leased_until IS 'Until when the owner may rely on it.';
INSERT INTO trunkline.lanes (lane) SELECT generate_series(0, 63);

CREATE TABLE trunkline.workers (
    worker_id  uuid        PRIMARY KEY,
    name       text        NOT NULL,
    version    text        NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL
);
COMMENT ON TABLE trunkline.workers IS 'The worker processes that are alive: each refreshes its row, and removes it when it stops.';
COMMENT ON COLUMN trunkline.workers.worker_id IS 'Chosen at random by each process when it starts.';
COMMENT ON COLUMN trunkline.workers.name IS 'Host name and process id; attempts carry it.';
COMMENT ON COLUMN trunkline.workers.version IS 'The Trunkline release it runs.';
COMMENT ON COLUMN trunkline.workers.started_at IS 'When the process started.';
COMMENT ON COLUMN trunkline.workers.seen_at IS 'When it last said that it is alive; long ago = dead, the row is swept.';
