-- What a DBA, a dashboard, or a customer reads: views that stay as they are while the tables below them change. Columns may
-- be added; one that would be changed or removed gets a new schema beside this one, and this one stays for two releases.
--
-- The views run with the rights of whoever reads (security_invoker), so that the policies at the end of this file decide
-- which rows there are. Readers have no right to use the schema trunkline itself: only what stands here can be named.

CREATE SCHEMA trunkline_read;
COMMENT ON SCHEMA trunkline_read IS
    'Trunkline to read: version 1 of a contract. Columns are added, never changed. docs/DATA_MODEL.md has twenty questions answered.';

-- Roles belong to the whole cluster: another database of it, or the DBA, may have made them before, or at this moment.
DO $$
DECLARE
    reader text;
BEGIN
    FOREACH reader IN ARRAY ARRAY['trunkline_reader', 'trunkline_tenant_reader'] LOOP
        IF to_regrole(reader) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', reader);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN
                    NULL;
                WHEN insufficient_privilege THEN
                    RAISE EXCEPTION 'the role % is missing, and % may not create it', reader, current_user
                        USING HINT = 'Let a DBA run CREATE ROLE trunkline_reader NOLOGIN; CREATE ROLE trunkline_tenant_reader NOLOGIN; once.';
            END;
        END IF;
    END LOOP;
END
$$;

CREATE TABLE trunkline.reader_tenants (
    role_name  name        PRIMARY KEY,
    tenant_id  text        NOT NULL REFERENCES trunkline.tenants (tenant_id),
    lane       smallint    NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE trunkline.reader_tenants IS
    'Which tenant a login may read. By the name it logged in with and not by a setting, which it could change. '
    'trunkline.bind_reader() writes it.';
COMMENT ON COLUMN trunkline.reader_tenants.role_name IS 'The login (session_user).';
COMMENT ON COLUMN trunkline.reader_tenants.tenant_id IS 'The one tenant whose rows it sees.';
COMMENT ON COLUMN trunkline.reader_tenants.lane IS 'That tenant''s lane: with it, the policies are conditions of indexes.';
COMMENT ON COLUMN trunkline.reader_tenants.created_at IS 'When it was bound.';

-- SECURITY DEFINER, because readers have no right on the table; session_user, because SET ROLE does not change it.
CREATE FUNCTION trunkline.reader_tenant() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE
SET search_path = pg_catalog
BEGIN ATOMIC
    SELECT tenant_id FROM trunkline.reader_tenants WHERE role_name = session_user;
END;
COMMENT ON FUNCTION trunkline.reader_tenant() IS 'The tenant that this login is bound to; NULL = none.';

CREATE FUNCTION trunkline.reader_lane() RETURNS smallint
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE
SET search_path = pg_catalog
BEGIN ATOMIC
    SELECT lane FROM trunkline.reader_tenants WHERE role_name = session_user;
END;
COMMENT ON FUNCTION trunkline.reader_lane() IS 'The lane of that tenant.';

CREATE FUNCTION trunkline.bind_reader(login name, to_tenant text) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    role    record;
    at_lane smallint;
BEGIN
    SELECT lane INTO at_lane FROM trunkline.tenants WHERE tenant_id = to_tenant;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no tenant %', to_tenant;
    END IF;
    SELECT oid, rolsuper, rolbypassrls INTO role FROM pg_roles WHERE rolname = login;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no role %', login USING HINT = 'CREATE ROLE ... LOGIN first.';
    END IF;
    IF role.rolsuper OR role.rolbypassrls THEN
        RAISE EXCEPTION '% is a superuser or has BYPASSRLS: no policy holds it', login;
    END IF;
    IF EXISTS (
        SELECT FROM pg_class AS c
        WHERE c.relnamespace = 'trunkline'::regnamespace AND c.relname = 'events' AND pg_has_role(role.oid, c.relowner, 'MEMBER')
    ) THEN
        RAISE EXCEPTION '% may act as the owner of the tables: no policy holds it', login;
    END IF;
    EXECUTE format('GRANT trunkline_tenant_reader TO %I', login);
    INSERT INTO trunkline.reader_tenants (role_name, tenant_id, lane) VALUES (login, to_tenant, at_lane)
    ON CONFLICT (role_name) DO UPDATE SET tenant_id = excluded.tenant_id, lane = excluded.lane, created_at = now();
END
$$;
COMMENT ON FUNCTION trunkline.bind_reader(name, text) IS
    'Lets a login read the views of trunkline_read, of one tenant only. Delete its row in trunkline.reader_tenants to end that.';
REVOKE EXECUTE ON FUNCTION trunkline.bind_reader(name, text) FROM PUBLIC;

CREATE FUNCTION trunkline_read.version() RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN 1;
COMMENT ON FUNCTION trunkline_read.version() IS 'Of this contract. Columns are added without a new version.';

CREATE FUNCTION trunkline_read.first_id(at timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE RETURN trunkline.uuid_v7_floor(at);
COMMENT ON FUNCTION trunkline_read.first_id(timestamptz) IS
    'The lowest id that an event of that time can have. event_id >= first_id(now() - interval ''1 hour'') reads one or two days of history; '
    'created_at >= ... reads all of it.';

CREATE FUNCTION trunkline_read.lane_of(of_tenant text) RETURNS smallint
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT lane FROM trunkline.tenants WHERE tenant_id = of_tenant;
END;
COMMENT ON FUNCTION trunkline_read.lane_of(text) IS
    'The lane of a tenant, with which every key of history begins: say lane = lane_of(''acme'') AND tenant_id = ''acme'' for the newest first.';

-- json and not jsonb, which rewrites numbers and refuses what a payload may hold; a payload that is none, such as one
-- written past both doors, must not fail the query that lists it.
CREATE FUNCTION trunkline_read.as_json(payload bytea) RETURNS json
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL RESTRICTED
SET search_path = pg_catalog
AS $$
BEGIN
    RETURN convert_from(payload, 'UTF8')::json;
EXCEPTION
    WHEN data_exception THEN
        RETURN NULL;
END
$$;
COMMENT ON FUNCTION trunkline_read.as_json(bytea) IS 'A payload as JSON, its text unchanged; NULL where it is none.';

CREATE VIEW trunkline_read.tenants WITH (security_invoker = true) AS
    SELECT tenant_id, lane, status, retention_days, created_at, updated_at
    FROM trunkline.tenants;
COMMENT ON VIEW trunkline_read.tenants IS 'Who publishes.';

-- Joined to their tenant, events and attempts are found by the tenant alone: it has the lane with which their keys begin. Deliveries
-- are not joined: of the few that are open a partial index tells, and a plan that asks it once a tenant is a bad one.
-- What is past the retention of its tenant or type is hidden at once, though it is erased later. Only tenants that have such a
-- retention pay for that: the array is made once a statement.
CREATE VIEW trunkline_read.events WITH (security_invoker = true) AS
    SELECT e.lane, e.tenant_id, e.event_id, 'evt_' || replace(e.event_id::text, '-', '') AS event, e.type,
           (SELECT CASE
                       WHEN bool_or(d.status = 'FAILED') THEN 'FAILED'
                       WHEN bool_or(d.status = 'PENDING') THEN 'PENDING'
                       WHEN bool_or(d.status = 'DELIVERED') THEN 'DELIVERED'
                       WHEN bool_or(d.status = 'CANCELLED') THEN 'CANCELLED'
                       ELSE 'UNROUTED'
                   END
            FROM trunkline.deliveries AS d
            WHERE d.lane = e.lane AND d.tenant_id = e.tenant_id AND d.event_id = e.event_id) AS status,
           e.created_at, e.deliver_at, e.ordering_key, e.traceparent, e.routed, e.payload_bytes,
           encode(e.payload_sha256, 'hex') AS payload_sha256,
           (SELECT trunkline_read.as_json(p.payload)
            FROM trunkline.payloads AS p
            WHERE p.lane = e.lane AND p.tenant_id = e.tenant_id AND p.event_id = e.event_id) AS payload
    FROM trunkline.events AS e
    JOIN trunkline.tenants AS t ON t.lane = e.lane AND t.tenant_id = e.tenant_id
    WHERE NOT (e.tenant_id = ANY (ARRAY(SELECT tenant_id FROM trunkline.short_retentions))
               AND e.event_id < trunkline.kept_from(e.tenant_id, e.type));
COMMENT ON VIEW trunkline_read.events IS
    'What was published. status and payload are looked up row by row: leave them out of what reads many.';

CREATE VIEW trunkline_read.deliveries WITH (security_invoker = true) AS
    SELECT d.lane, d.tenant_id, d.event_id, 'evt_' || replace(d.event_id::text, '-', '') AS event,
           d.endpoint_id, 'ep_' || replace(d.endpoint_id::text, '-', '') AS endpoint,
           d.status, d.attempts, d.cycle_attempts, d.due_at, d.lease IS NOT NULL AS in_flight, d.leased_until, d.held,
           d.ordering_key, d.last_attempt_at, d.last_status_code, d.last_error, d.created_at, d.finished_at
    FROM trunkline.deliveries AS d
    WHERE NOT (d.tenant_id = ANY (ARRAY(SELECT tenant_id FROM trunkline.short_retentions))
               AND d.event_id < (SELECT trunkline.kept_from(e.tenant_id, e.type)
                                 FROM trunkline.events AS e
                                 WHERE e.lane = d.lane AND e.tenant_id = d.tenant_id AND e.event_id = d.event_id));
COMMENT ON VIEW trunkline_read.deliveries IS 'The duty to bring one event to one endpoint, and how it stands.';

CREATE VIEW trunkline_read.attempts WITH (security_invoker = true) AS
    SELECT a.lane, a.tenant_id, a.event_id, 'evt_' || replace(a.event_id::text, '-', '') AS event,
           a.endpoint_id, 'ep_' || replace(a.endpoint_id::text, '-', '') AS endpoint,
           a.attempt, a.started_at, a.duration_ms, a.status_code, a.outcome, a.error,
           encode(a.response_excerpt, 'escape') AS response_excerpt, a.url, a.worker
    FROM trunkline.attempts AS a
    JOIN trunkline.tenants AS t ON t.lane = a.lane AND t.tenant_id = a.tenant_id
    WHERE NOT (a.tenant_id = ANY (ARRAY(SELECT tenant_id FROM trunkline.short_retentions))
               AND a.event_id < (SELECT trunkline.kept_from(e.tenant_id, e.type)
                                 FROM trunkline.events AS e
                                 WHERE e.lane = a.lane AND e.tenant_id = a.tenant_id AND e.event_id = a.event_id));
COMMENT ON VIEW trunkline_read.attempts IS 'Every HTTP call made for a delivery.';

CREATE VIEW trunkline_read.endpoint_health WITH (security_invoker = true) AS
    SELECT e.lane, e.tenant_id, e.endpoint_id, 'ep_' || replace(e.endpoint_id::text, '-', '') AS endpoint, e.name, e.url,
           CASE
               WHEN e.deleted_at IS NOT NULL THEN 'deleted'
               WHEN NOT e.enabled THEN 'disabled'
               WHEN e.paused THEN 'paused'
               WHEN e.breaker_open_until > now() THEN 'breaker open'
               WHEN e.paused_until > now() THEN 'asked to wait'
               WHEN e.failing_since IS NOT NULL THEN 'failing'
               ELSE 'healthy'
           END AS health,
           e.disabled_reason, e.paused_until, e.breaker_open_until, e.failing_since, e.failures,
           (SELECT min(d.due_at)
            FROM trunkline.deliveries AS d
            WHERE d.lane = e.lane AND d.endpoint_id = e.endpoint_id AND d.due_at IS NOT NULL) AS oldest_due_at,
           e.created_at, e.updated_at, e.deleted_at
    FROM trunkline.endpoints AS e;
COMMENT ON VIEW trunkline_read.endpoint_health IS 'Where events go, and whether they arrive there.';

CREATE VIEW trunkline_read.queue WITH (security_invoker = true) AS
    SELECT lane, tenant_id, endpoint_id, 'ep_' || replace(endpoint_id::text, '-', '') AS endpoint,
           sum(due)::bigint AS due, sum(in_flight)::bigint AS in_flight, sum(scheduled)::bigint AS scheduled,
           sum(held)::bigint AS held, min(oldest_due_at) AS oldest_due_at
    FROM (
        SELECT lane, tenant_id, endpoint_id,
               count(*) FILTER (WHERE due_at <= now() AND lease IS NULL) AS due,
               count(*) FILTER (WHERE lease IS NOT NULL) AS in_flight,
               count(*) FILTER (WHERE due_at > now() AND lease IS NULL) AS scheduled,
               0 AS held,
               min(due_at) FILTER (WHERE lease IS NULL) AS oldest_due_at
        FROM trunkline.deliveries
        WHERE due_at IS NOT NULL
        GROUP BY lane, tenant_id, endpoint_id
        UNION ALL
        SELECT lane, tenant_id, endpoint_id, 0, 0, 0, count(*), NULL
        FROM trunkline.deliveries
        WHERE held AND ordering_key IS NOT NULL AND finished_at IS NULL
        GROUP BY lane, tenant_id, endpoint_id
    ) AS open
    GROUP BY lane, tenant_id, endpoint_id;
COMMENT ON VIEW trunkline_read.queue IS
    'The work that waits, by endpoint. It reads what is open, never what is done: as fast as the backlog is short.';

CREATE VIEW trunkline_read.dead_letters WITH (security_invoker = true) AS
    SELECT d.lane, d.tenant_id, d.event_id, d.event, d.endpoint_id, d.endpoint,
           (SELECT e.type
            FROM trunkline.events AS e
            WHERE e.lane = d.lane AND e.tenant_id = d.tenant_id AND e.event_id = d.event_id) AS type,
           (SELECT p.url
            FROM trunkline.endpoints AS p
            WHERE p.tenant_id = d.tenant_id AND p.endpoint_id = d.endpoint_id) AS url,
           d.attempts, d.last_attempt_at, d.last_status_code, d.last_error, d.created_at, d.finished_at AS dead_since
    FROM trunkline_read.deliveries AS d
    WHERE d.status = 'FAILED' AND d.due_at IS NULL;
COMMENT ON VIEW trunkline_read.dead_letters IS 'Deliveries that used up their attempts and are not retried by themselves.';

-- Days that ended are counted once a day by a worker (trunkline.count_day); the others, today first of all, when they are asked
-- for, each from its own partitions.
CREATE VIEW trunkline_read.tenant_daily WITH (security_invoker = true) AS
    SELECT day, lane, tenant_id, events, payload_bytes, deliveries, delivered, waiting, dead_letters, cancelled, attempts, counted_at
    FROM trunkline.tenant_days
    UNION ALL
    SELECT d.day, c.lane, c.tenant_id, c.events, c.payload_bytes, c.deliveries, c.delivered, c.waiting, c.dead_letters, c.cancelled,
           c.attempts, now()
    FROM (
        SELECT day::date AS day
        FROM trunkline.history_partitions AS h
        CROSS JOIN LATERAL generate_series(h.from_day, h.until_day - 1, interval '1 day') AS day
        WHERE NOT EXISTS (SELECT FROM trunkline.counted_days AS k WHERE k.day = day.day::date)
    ) AS d
    CROSS JOIN LATERAL (
        SELECT lane, tenant_id, sum(events)::bigint AS events, sum(payload_bytes)::bigint AS payload_bytes,
               sum(deliveries)::bigint AS deliveries, sum(delivered)::bigint AS delivered, sum(waiting)::bigint AS waiting,
               sum(dead_letters)::bigint AS dead_letters, sum(cancelled)::bigint AS cancelled, sum(attempts)::bigint AS attempts
        FROM (
            SELECT lane, tenant_id, count(*) AS events, sum(e.payload_bytes) AS payload_bytes, 0 AS deliveries, 0 AS delivered,
                   0 AS waiting, 0 AS dead_letters, 0 AS cancelled, 0 AS attempts
            FROM trunkline.events AS e
            WHERE event_id >= trunkline.uuid_v7_floor(d.day::timestamp AT TIME ZONE 'UTC')
              AND event_id < trunkline.uuid_v7_floor((d.day + 1)::timestamp AT TIME ZONE 'UTC')
            GROUP BY lane, tenant_id
            UNION ALL
            -- The status rows count their attempts: the table of attempts need not be read.
            SELECT lane, tenant_id, 0, 0, count(*), count(*) FILTER (WHERE status = 'DELIVERED'),
                   count(*) FILTER (WHERE finished_at IS NULL), count(*) FILTER (WHERE status = 'FAILED' AND due_at IS NULL),
                   count(*) FILTER (WHERE status = 'CANCELLED'), sum(attempts)
            FROM trunkline.deliveries
            WHERE event_id >= trunkline.uuid_v7_floor(d.day::timestamp AT TIME ZONE 'UTC')
              AND event_id < trunkline.uuid_v7_floor((d.day + 1)::timestamp AT TIME ZONE 'UTC')
            GROUP BY lane, tenant_id
        ) AS counts
        GROUP BY lane, tenant_id
    ) AS c;
COMMENT ON VIEW trunkline_read.tenant_daily IS
    'What each tenant published on a day (UTC), and what became of it by counted_at. Say which days: today is counted when it is asked for.';

CREATE VIEW trunkline_read.partitions WITH (security_invoker = true) AS
    SELECT parent AS of_table, h.from_day, h.until_day, c.relname AS partition,
           greatest(c.reltuples, 0)::bigint AS rows_estimate, pg_total_relation_size(c.oid) AS bytes,
           s.n_dead_tup AS dead_rows, greatest(s.last_vacuum, s.last_autovacuum) AS last_vacuum_at,
           greatest(s.last_analyze, s.last_autoanalyze) AS last_analyze_at
    FROM trunkline.history_partitions AS h
    CROSS JOIN unnest(ARRAY['events', 'payloads', 'deliveries', 'attempts']) AS parent
    JOIN pg_class AS c ON c.relname = parent || '_' || to_char(h.from_day, 'YYYYMMDD')
    JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = 'trunkline'
    LEFT JOIN pg_stat_all_tables AS s ON s.relid = c.oid;
COMMENT ON VIEW trunkline_read.partitions IS 'How large history is, day by day, and how vacuum keeps up with it.';

-- Columns of views, in one place; those that mean the same everywhere are explained once.
DO $$
DECLARE
    explained record;
BEGIN
    FOR explained IN
        SELECT c.relname AS view, a.attname AS column_name, coalesce(own.says, shared.says) AS says
        FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
        LEFT JOIN (VALUES
            ('lane', 'Of the tenant: one of 64 shares of all work, with which every key of history begins.'),
            ('tenant_id', 'Whose it is.'),
            ('event_id', 'UUID version 7 of the time it was accepted; ids compare as times (trunkline_read.first_id).'),
            ('event', 'event_id as the API shows it.'),
            ('endpoint_id', 'Where to.'),
            ('endpoint', 'endpoint_id as the API shows it.'),
            ('type', 'What happened, such as order.created; NULL = the publisher did not say.'),
            ('created_at', 'When it was created, by the database''s clock.'),
            ('updated_at', 'When it was last changed by a person.'),
            ('url', 'The endpoint''s address today.'),
            ('ordering_key', 'Events with the same key reach an ordered endpoint one after another.'),
            ('attempts', 'Attempts ever started.'),
            ('last_attempt_at', 'When the last attempt that ended was started.'),
            ('last_status_code', 'What the endpoint answered to it; NULL = no answer.'),
            ('last_error', 'Why it failed, in words; NULL = it succeeded.')
        ) AS shared (column_name, says) ON shared.column_name = a.attname
        LEFT JOIN (VALUES
            ('tenants', 'retention_days', 'Its events are shown for so many days; NULL = until their partition is dropped.'),
            ('tenants', 'status', 'ACTIVE, SUSPENDED or DELETED.'),
            ('events', 'status', 'Over all its deliveries: FAILED, PENDING, DELIVERED, CANCELLED; UNROUTED without any.'),
            ('events', 'deliver_at', 'Not before then; NULL = at once.'),
            ('events', 'traceparent', 'W3C trace context of the publisher.'),
            ('events', 'routed', 'Whether any endpoint matched when it came, or at a replay.'),
            ('events', 'payload_bytes', 'Size of the payload.'),
            ('events', 'payload_sha256', 'Its SHA-256 in hexadecimal digits; stays when the payload is gone.'),
            ('events', 'payload', 'Its content; NULL = erased, past its retention, or no JSON.'),
            ('deliveries', 'status', 'PENDING, DELIVERED, FAILED (due_at NULL: a dead letter) or CANCELLED.'),
            ('deliveries', 'cycle_attempts', 'Attempts since it was last retried by hand.'),
            ('deliveries', 'due_at', 'When it is attempted next, by itself; NULL = not by itself.'),
            ('deliveries', 'in_flight', 'A worker has claimed it.'),
            ('deliveries', 'leased_until', 'From when on another worker may claim it.'),
            ('deliveries', 'held', 'It waits for an earlier event of the same ordering key.'),
            ('deliveries', 'finished_at', 'When it was delivered, cancelled, or became a dead letter; NULL = not yet.'),
            ('attempts', 'attempt', 'From 1, one sequence over all cycles of the delivery.'),
            ('attempts', 'started_at', 'When the call began.'),
            ('attempts', 'duration_ms', 'Milliseconds; NULL = unknown.'),
            ('attempts', 'status_code', 'What the endpoint answered; NULL = no answer.'),
            ('attempts', 'outcome', 'What its end means: succeeded, rejected, timeout, ...'),
            ('attempts', 'error', 'Why it failed, in words; NULL = it succeeded.'),
            ('attempts', 'response_excerpt', 'The beginning of the answer''s body, bytes outside of ASCII escaped.'),
            ('attempts', 'url', 'What was called.'),
            ('attempts', 'worker', 'The process that called.'),
            ('endpoint_health', 'name', 'Chosen by its owner.'),
            ('endpoint_health', 'health', 'healthy, failing, asked to wait (Retry-After), breaker open, paused, disabled or deleted.'),
            ('endpoint_health', 'disabled_reason', 'manual, gone (it answered 410) or failing (for days).'),
            ('endpoint_health', 'paused_until', 'It asked to be left alone until then.'),
            ('endpoint_health', 'breaker_open_until', 'Most attempts failed; nothing is attempted until then.'),
            ('endpoint_health', 'failing_since', 'The first failure since the last success.'),
            ('endpoint_health', 'failures', 'Failed attempts since then, to within a minute.'),
            ('endpoint_health', 'oldest_due_at', 'Since when its longest waiting delivery is due, or when it will be; NULL = none is open.'),
            ('endpoint_health', 'deleted_at', 'When it was deleted.'),
            ('queue', 'due', 'Deliveries whose time has come.'),
            ('queue', 'in_flight', 'Deliveries under way.'),
            ('queue', 'scheduled', 'Deliveries for later: retries, and events with a deliver_at.'),
            ('queue', 'held', 'Deliveries that wait for an earlier event of the same ordering key.'),
            ('queue', 'oldest_due_at', 'The earliest due time of those not under way.'),
            ('dead_letters', 'dead_since', 'When its last attempt failed.'),
            ('partitions', 'of_table', 'events, payloads, deliveries or attempts.'),
            ('partitions', 'from_day', 'The first day in it (UTC).'),
            ('partitions', 'until_day', 'The first day after it.'),
            ('partitions', 'partition', 'Its name.'),
            ('partitions', 'rows_estimate', 'As of the last vacuum or analyze.'),
            ('partitions', 'bytes', 'On disk, with indexes.'),
            ('partitions', 'dead_rows', 'Not vacuumed yet.'),
            ('partitions', 'last_vacuum_at', 'By hand or by itself.'),
            ('partitions', 'last_analyze_at', 'By hand or by itself.'),
            ('tenant_daily', 'day', 'In UTC, of the event.'),
            ('tenant_daily', 'events', 'Events published.'),
            ('tenant_daily', 'payload_bytes', 'Their payloads together.'),
            ('tenant_daily', 'deliveries', 'Deliveries of them.'),
            ('tenant_daily', 'delivered', 'Of those, DELIVERED.'),
            ('tenant_daily', 'waiting', 'Of those, not at their end yet.'),
            ('tenant_daily', 'dead_letters', 'Of those, dead letters.'),
            ('tenant_daily', 'cancelled', 'Of those, CANCELLED.'),
            ('tenant_daily', 'counted_at', 'When it was counted: days that ended once a day for ten days, today when it is asked for.')
        ) AS own (view, column_name, says) ON own.view = c.relname AND own.column_name = a.attname
        WHERE c.relnamespace = 'trunkline_read'::regnamespace AND c.relkind = 'v'
    LOOP
        EXECUTE format('COMMENT ON COLUMN trunkline_read.%I.%I IS %L', explained.view, explained.column_name, explained.says);
    END LOOP;
END
$$;

-- Rights on tables for what the views read, column by column where a table holds more: no headers, no secrets, no keys.
GRANT USAGE ON SCHEMA trunkline_read TO trunkline_reader, trunkline_tenant_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA trunkline_read TO trunkline_reader, trunkline_tenant_reader;
-- How much all tenants have together is no customer's business.
REVOKE SELECT ON trunkline_read.partitions FROM trunkline_tenant_reader;
GRANT SELECT ON trunkline.events, trunkline.payloads, trunkline.deliveries, trunkline.attempts, trunkline.history_partitions,
    trunkline.tenant_days, trunkline.counted_days, trunkline.short_retentions
    TO trunkline_reader, trunkline_tenant_reader;
GRANT SELECT (tenant_id, lane, status, retention_days, created_at, updated_at) ON trunkline.tenants TO trunkline_reader, trunkline_tenant_reader;
GRANT SELECT (tenant_id, type, retention_days) ON trunkline.event_types TO trunkline_reader, trunkline_tenant_reader;
GRANT SELECT (lane, tenant_id, endpoint_id, name, url, enabled, disabled_reason, paused, paused_until, breaker_open_until, failing_since,
    failures, created_at, updated_at, deleted_at) ON trunkline.endpoints TO trunkline_reader, trunkline_tenant_reader;
GRANT EXECUTE ON FUNCTION trunkline.reader_tenant(), trunkline.reader_lane(), trunkline.uuid_v7_floor(timestamptz), trunkline.kept_from(text, text)
    TO trunkline_reader, trunkline_tenant_reader;

-- Not forced: the owner, as which the doors connect, is not held by these. A DBA's reader sees all, unless its login is
-- bound to a tenant: then it sees that one, whichever of the roles it was given. A tenant's reader that is not bound sees
-- nothing. As scalar subqueries the functions run once a statement, and lane and tenant become conditions of the indexes.
DO $$
DECLARE
    relation text;
    whose    text;
BEGIN
    FOREACH relation IN ARRAY ARRAY['tenants', 'endpoints', 'event_types', 'events', 'payloads', 'deliveries', 'attempts', 'tenant_days'] LOOP
        EXECUTE format('ALTER TABLE trunkline.%I ENABLE ROW LEVEL SECURITY', relation);
        EXECUTE format(
            'CREATE POLICY reader ON trunkline.%I FOR SELECT TO trunkline_reader '
            'USING ((SELECT trunkline.reader_tenant()) IS NULL)', relation);
        whose := 'tenant_id = (SELECT trunkline.reader_tenant())';
        IF relation <> 'event_types' THEN
            whose := 'lane = (SELECT trunkline.reader_lane()) AND ' || whose;
        END IF;
        EXECUTE format(
            'CREATE POLICY tenant_reader ON trunkline.%I FOR SELECT TO trunkline_tenant_reader USING (%s)', relation, whose);
    END LOOP;
END
$$;

-- The tables that are new since row security holds the doors' roles too.
DO $$
BEGIN
    IF to_regprocedure('trunkline.hold_to_tenant(regclass, name)') IS NOT NULL THEN
        EXECUTE 'SELECT trunkline.hold_to_tenant(''trunkline.tenant_days''), trunkline.hold_to_tenant(''trunkline.reader_tenants'')';
    END IF;
END
$$;
