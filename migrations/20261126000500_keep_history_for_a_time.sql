-- How long history is kept: for all by the settings retention.events and retention.payloads, which drop whole partitions; for a
-- tenant or a type for a shorter time, which hides rows at once and erases them bit by bit.

ALTER TABLE trunkline.tenants ADD COLUMN retention_days integer CHECK (retention_days BETWEEN 1 AND 3650);
COMMENT ON COLUMN trunkline.tenants.retention_days IS
    'Its events are hidden and then erased so many days after they came; NULL = with their partition (the setting retention.events).';

ALTER TABLE trunkline.event_types ADD COLUMN retention_days integer CHECK (retention_days BETWEEN 1 AND 3650);
COMMENT ON COLUMN trunkline.event_types.retention_days IS
    'Events of the type are hidden and then erased so many days after they came; NULL = as the tenant''s others.';

ALTER TABLE trunkline.history_partitions ADD COLUMN payloads_gone_at timestamptz;
COMMENT ON COLUMN trunkline.history_partitions.payloads_gone_at IS
    'When its payloads were dropped, which are kept for a shorter time than the rest; NULL = they are there.';

CREATE VIEW trunkline.short_retentions WITH (security_invoker = true) AS
    SELECT tenant_id FROM trunkline.tenants WHERE retention_days IS NOT NULL
    UNION
    SELECT tenant_id FROM trunkline.event_types WHERE retention_days IS NOT NULL;
COMMENT ON VIEW trunkline.short_retentions IS 'The tenants that keep something for a shorter time: only their rows are asked for their age.';

CREATE FUNCTION trunkline.kept_from(of_tenant text, of_type text) RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce((
        SELECT trunkline.uuid_v7_floor(now() - make_interval(days => least(t.retention_days, y.retention_days)))
        FROM trunkline.tenants AS t
        LEFT JOIN trunkline.event_types AS y ON y.tenant_id = t.tenant_id AND y.type = of_type
        WHERE t.tenant_id = of_tenant
    ), '00000000-0000-0000-0000-000000000000');
END;
COMMENT ON FUNCTION trunkline.kept_from(text, text) IS
    'The lowest id that an event of that tenant and type may have to be shown: what is older is past its retention.';

-- What happened on a day, kept when its history is dropped.
CREATE TABLE trunkline.tenant_days (
    tenant_id     text        NOT NULL,
    day           date        NOT NULL,
    lane          smallint    NOT NULL,
    events        bigint      NOT NULL,
    payload_bytes bigint      NOT NULL,
    deliveries    bigint      NOT NULL,
    delivered     bigint      NOT NULL,
    waiting       bigint      NOT NULL,
    dead_letters  bigint      NOT NULL,
    cancelled     bigint      NOT NULL,
    attempts      bigint      NOT NULL,
    counted_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, day)
);
CREATE INDEX tenant_days_day ON trunkline.tenant_days (day);
COMMENT ON TABLE trunkline.tenant_days IS 'What each tenant published on a day, and what became of it. Stays when the day''s history is dropped.';
COMMENT ON COLUMN trunkline.tenant_days.tenant_id IS 'Whose events.';
COMMENT ON COLUMN trunkline.tenant_days.day IS 'When they came (UTC).';
COMMENT ON COLUMN trunkline.tenant_days.lane IS 'Its tenant''s lane.';
COMMENT ON COLUMN trunkline.tenant_days.events IS 'Events published.';
COMMENT ON COLUMN trunkline.tenant_days.payload_bytes IS 'Their payloads together.';
COMMENT ON COLUMN trunkline.tenant_days.deliveries IS 'Deliveries of them.';
COMMENT ON COLUMN trunkline.tenant_days.delivered IS 'Of those, DELIVERED.';
COMMENT ON COLUMN trunkline.tenant_days.waiting IS 'Of those, not at their end.';
COMMENT ON COLUMN trunkline.tenant_days.dead_letters IS 'Of those, dead letters.';
COMMENT ON COLUMN trunkline.tenant_days.cancelled IS 'Of those, CANCELLED.';
COMMENT ON COLUMN trunkline.tenant_days.attempts IS 'Attempts made for them.';
COMMENT ON COLUMN trunkline.tenant_days.counted_at IS 'When all this was so.';

CREATE TABLE trunkline.counted_days (
    day        date        PRIMARY KEY,
    counted_at timestamptz NOT NULL
);
COMMENT ON TABLE trunkline.counted_days IS 'The days that stand in tenant_days, those without an event too.';
COMMENT ON COLUMN trunkline.counted_days.day IS 'In UTC.';
COMMENT ON COLUMN trunkline.counted_days.counted_at IS 'When it was counted last.';

CREATE FUNCTION trunkline.count_day(which date) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first_id uuid := trunkline.uuid_v7_floor(which::timestamp AT TIME ZONE 'UTC');
    end_id   uuid := trunkline.uuid_v7_floor((which + 1)::timestamp AT TIME ZONE 'UTC');
BEGIN
    INSERT INTO trunkline.tenant_days AS d (tenant_id, day, lane, events, payload_bytes, deliveries, delivered, waiting, dead_letters,
        cancelled, attempts, counted_at)
    SELECT e.tenant_id, which, e.lane, e.events, e.payload_bytes, coalesce(s.deliveries, 0), coalesce(s.delivered, 0),
           coalesce(s.waiting, 0), coalesce(s.dead_letters, 0), coalesce(s.cancelled, 0), coalesce(s.attempts, 0), now()
    FROM (
        SELECT lane, tenant_id, count(*) AS events, sum(events.payload_bytes) AS payload_bytes
        FROM trunkline.events
        WHERE event_id >= first_id AND event_id < end_id
        GROUP BY lane, tenant_id
    ) AS e
    LEFT JOIN (
        SELECT lane, tenant_id, count(*) AS deliveries, count(*) FILTER (WHERE status = 'DELIVERED') AS delivered,
               count(*) FILTER (WHERE finished_at IS NULL) AS waiting,
               count(*) FILTER (WHERE status = 'FAILED' AND due_at IS NULL) AS dead_letters,
               count(*) FILTER (WHERE status = 'CANCELLED') AS cancelled, sum(deliveries.attempts) AS attempts
        FROM trunkline.deliveries
        WHERE event_id >= first_id AND event_id < end_id
        GROUP BY lane, tenant_id
    ) AS s ON s.lane = e.lane AND s.tenant_id = e.tenant_id
    ON CONFLICT (tenant_id, day) DO UPDATE
    -- What was erased since is still what happened: numbers of events and deliveries do not shrink.
    SET events = greatest(d.events, excluded.events), payload_bytes = greatest(d.payload_bytes, excluded.payload_bytes),
        deliveries = greatest(d.deliveries, excluded.deliveries), delivered = greatest(d.delivered, excluded.delivered),
        attempts = greatest(d.attempts, excluded.attempts), waiting = excluded.waiting, dead_letters = excluded.dead_letters,
        cancelled = excluded.cancelled, counted_at = excluded.counted_at;
    INSERT INTO trunkline.counted_days (day, counted_at) VALUES (which, now())
    ON CONFLICT (day) DO UPDATE SET counted_at = excluded.counted_at;
END
$$;
COMMENT ON FUNCTION trunkline.count_day(date) IS 'Counts a day (UTC) into tenant_days. A worker does it for every day that ended.';
REVOKE EXECUTE ON FUNCTION trunkline.count_day(date) FROM PUBLIC;

-- The part of create_partitions that makes one, so that a day of the past can be made too: for history that is brought back.
CREATE FUNCTION trunkline.create_partition(first_day date, end_day date) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    parent    text;
    partition text;
    storage   text;
BEGIN
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
            trunkline.uuid_v7_floor(end_day::timestamptz));
    END LOOP;
    INSERT INTO trunkline.history_partitions (from_day, until_day) VALUES (first_day, end_day);
END
$$;
COMMENT ON FUNCTION trunkline.create_partition(date, date) IS
    'Makes the partitions of events, payloads, deliveries and attempts from one day on until another (UTC).';

REVOKE EXECUTE ON FUNCTION trunkline.create_partition(date, date) FROM PUBLIC;

-- With the owner's rights, so that a worker that logs in as somebody else makes partitions through it and nothing else.
CREATE OR REPLACE FUNCTION trunkline.create_partitions(ahead_days integer DEFAULT 7, width_days integer DEFAULT 1)
RETURNS integer
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
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
        PERFORM trunkline.create_partition(first_day, first_day + width_days);
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
REVOKE EXECUTE ON FUNCTION trunkline.create_partitions(integer, integer) FROM PUBLIC;
