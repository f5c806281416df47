-- Fills an empty, migrated database with a history to try queries on: `events` events over `days` days, the last of them
-- today, of 200 tenants, one of which has about a sixth of all. About four minutes for ten million on two cores:
--
--     createdb big && TRUNKLINE__DATABASE__URL=... trunkline migrate
--     psql -d big -v events=10000000 -v days=10 -f bench/history/fill.sql
--
-- Days that ended are counted, as a worker does. Payloads are made for the last day only: no question here reads more of them than a page.
\set ON_ERROR_STOP on
\timing on
SET synchronous_commit = off;
SET jit = off;
SET timezone = 'UTC';

-- What is missing between the first day and those that have partitions already.
SELECT trunkline.create_partition(day::date, day::date + 1)
FROM generate_series(
    current_date - (:days - 1),
    (SELECT coalesce(min(from_day), current_date + 1) FROM trunkline.history_partitions) - 1,
    interval '1 day') AS day;
SELECT trunkline.create_partitions(3, 1);

INSERT INTO trunkline.tenants (tenant_id, lane, created_at, updated_at)
SELECT 'tenant-' || lpad(n::text, 3, '0'), n % 64, now() - interval '1 year', now()
FROM generate_series(0, 199) AS n;

-- Two endpoints for every fourth tenant, one for the others.
INSERT INTO trunkline.endpoints (tenant_id, endpoint_id, lane, name, url, created_at, updated_at, failing_since, failures)
SELECT tenant_id, trunkline.uuid_v7(now() - interval '1 year'), lane, CASE k WHEN 1 THEN 'default' ELSE 'second' END,
       'https://' || tenant_id || '.example/hook', now() - interval '1 year', now(),
       CASE WHEN lane = 7 THEN now() - interval '3 hours' END, CASE WHEN lane = 7 THEN 40 ELSE 0 END
FROM trunkline.tenants CROSS JOIN generate_series(1, 2) AS k
WHERE k = 1 OR lane % 4 = 0;

-- A day at a time, in the order of time, as it would have grown.
CREATE PROCEDURE pg_temp.fill(events bigint, days integer) LANGUAGE plpgsql AS $$
DECLARE
    per_day bigint := events / days;
    first   timestamptz;
    last    timestamptz;
BEGIN
    FOR day IN REVERSE days - 1 .. 0 LOOP
        first := date_trunc('day', now()) - day * interval '1 day';
        last := least(first + interval '1 day', now());
        INSERT INTO trunkline.events (lane, tenant_id, event_id, type, payload_sha256, payload_bytes, created_at, routed)
        SELECT t.lane, t.tenant_id, trunkline.uuid_v7(at), 'order.' || (ARRAY['created', 'paid', 'shipped', 'returned'])[n % 4 + 1],
               decode(repeat('00', 32), 'hex'), 200 + n % 300, at, true
        FROM (
            SELECT n, first + (last - first) * (n::double precision / per_day) AS at, floor(200 * power(random(), 3))::integer AS who
            FROM generate_series(0, per_day - 1) AS n
        ) AS e
        JOIN trunkline.tenants AS t ON t.tenant_id = 'tenant-' || lpad(who::text, 3, '0');

        INSERT INTO trunkline.deliveries (lane, tenant_id, event_id, endpoint_id, status, attempts, cycle_attempts, due_at,
            last_attempt_at, last_status_code, last_error, created_at, finished_at)
        SELECT e.lane, e.tenant_id, e.event_id, p.endpoint_id,
               (CASE WHEN waits AND NOT tried THEN 'PENDING' WHEN waits OR dies THEN 'FAILED' ELSE 'DELIVERED' END)::trunkline.delivery_status,
               CASE WHEN waits AND NOT tried THEN 0 WHEN dies THEN 3 ELSE 1 END,
               CASE WHEN waits AND NOT tried THEN 0 WHEN dies THEN 3 ELSE 1 END,
               CASE WHEN waits THEN e.created_at + CASE WHEN tried THEN interval '5 minutes' ELSE interval '0' END END,
               CASE WHEN NOT waits OR tried THEN e.created_at + interval '2 ms' END,
               CASE WHEN waits AND NOT tried THEN NULL WHEN waits OR dies THEN 500 ELSE 200 END,
               CASE WHEN (waits AND tried) OR dies THEN 'the endpoint answered 500' END,
               e.created_at,
               CASE WHEN NOT waits THEN e.created_at + interval '20 ms' END
        FROM (
            SELECT *, random() < 0.003 AS dies, created_at > now() - interval '2 minutes' AS waits, random() < 0.3 AS tried
            FROM trunkline.events
            WHERE event_id >= trunkline.uuid_v7_floor(first) AND event_id < trunkline.uuid_v7_floor(first + interval '1 day')
        ) AS e
        JOIN trunkline.endpoints AS p ON p.tenant_id = e.tenant_id;

        INSERT INTO trunkline.attempts (lane, tenant_id, event_id, endpoint_id, attempt, started_at, duration_ms, status_code,
            outcome, error, url, worker)
        SELECT lane, tenant_id, event_id, endpoint_id, n, last_attempt_at + (n - 1) * interval '1 minute', 5 + (random() * 40)::integer,
               last_status_code, (CASE status WHEN 'DELIVERED' THEN 'succeeded' ELSE 'rejected' END)::trunkline.attempt_outcome,
               last_error, 'https://' || tenant_id || '.example/hook', 'worker-1:1'
        FROM trunkline.deliveries CROSS JOIN LATERAL generate_series(1, attempts) AS n
        WHERE event_id >= trunkline.uuid_v7_floor(first) AND event_id < trunkline.uuid_v7_floor(first + interval '1 day');

        RAISE NOTICE 'filled %', first::date;
        COMMIT;
    END LOOP;
END
$$;
CALL pg_temp.fill(:events, :days);

INSERT INTO trunkline.payloads (lane, tenant_id, event_id, payload)
SELECT lane, tenant_id, event_id, convert_to('{"type":"' || type || '","order":' || payload_bytes || '}', 'UTF8')
FROM trunkline.events WHERE event_id >= trunkline.uuid_v7_floor(current_date::timestamptz);

SELECT trunkline.count_day(current_date - n) FROM generate_series(1, :days - 1) AS n;

VACUUM (ANALYZE);
