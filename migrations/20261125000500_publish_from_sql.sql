-- The front door for those who are in the database already: publishing inside the caller's own transaction, and tables whose changes
-- become events.

CREATE FUNCTION trunkline.without_nul(payload text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
-- An escaped backslash is kept, so that one before u0000 is not taken for the beginning of an escape.
RETURN regexp_replace(payload, '(\\\\)|\\u0000', '\1', 'g');
COMMENT ON FUNCTION trunkline.without_nul(text) IS
    'JSON text without the escape \u0000, which PostgreSQL can look at only in part.';

CREATE FUNCTION trunkline.is_judged(payload text) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN octet_length(payload) <= 65536
    AND trunkline.without_nul(payload) = payload
    -- Of numbers only: strings are emptied first.
    AND regexp_replace(payload, '"(\\.|[^"\\])*"', '""', 'g')
        !~* 'e[+-]?0*(1(00[1-9]|0[1-9][0-9]|[1-9][0-9]{2})|[2-9][0-9]{3}|[1-9][0-9]{4,})';
COMMENT ON FUNCTION trunkline.is_judged(text) IS
    'Whether payload filters judge a payload: at most 64 KiB, no \u0000, exponents within 1,000. The API has the same rule.';

CREATE FUNCTION trunkline.check_payload(payload text) RETURNS void
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    clean text := trunkline.without_nul(payload);
    deepest integer;
    has_twice boolean;
BEGIN
    IF payload IS NULL OR octet_length(payload) NOT BETWEEN 1 AND 262144 THEN
        RAISE EXCEPTION 'a payload is a JSON object of 1 to 262144 bytes' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    BEGIN
        IF json_typeof(payload::json) <> 'object' THEN
            RAISE EXCEPTION 'a payload is a JSON object, such as {"type":"order.created"}'
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        -- Each object and array once. To look inside, PostgreSQL unescapes strings, and finds lone surrogates by it.
        WITH RECURSIVE nodes (depth, value) AS (
            SELECT 1, clean::json
            UNION ALL
            SELECT n.depth + 1, child.value
            FROM nodes AS n
            CROSS JOIN LATERAL (
                SELECT value FROM json_each(CASE json_typeof(n.value) WHEN 'object' THEN n.value END)
                UNION ALL
                SELECT value FROM json_array_elements(CASE json_typeof(n.value) WHEN 'array' THEN n.value END)
            ) AS child
            WHERE json_typeof(child.value) IN ('object', 'array') AND n.depth <= 64
        )
        SELECT max(depth),
               bool_or(json_typeof(value) = 'object'
                   AND (SELECT count(*) <> count(DISTINCT member.key) FROM json_each(value) AS member))
        INTO deepest, has_twice
        FROM nodes;
    EXCEPTION WHEN invalid_text_representation OR untranslatable_character THEN
        RAISE EXCEPTION 'the payload is not valid JSON: %', SQLERRM USING ERRCODE = 'invalid_parameter_value';
    END;
    IF deepest > 64 THEN
        RAISE EXCEPTION 'the payload nests deeper than 64 levels' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF has_twice THEN
        RAISE EXCEPTION 'a key occurs twice in one object of the payload' USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;
COMMENT ON FUNCTION trunkline.check_payload(text) IS
    'Refuses what the API refuses: anything but one JSON object, duplicate keys, lone surrogates, more than 64 levels or 256 KiB.';

CREATE FUNCTION trunkline.publish(
    tenant_id       text,
    type            text,
    payload         text,
    idempotency_key text        DEFAULT NULL,
    ordering_key    text        DEFAULT NULL,
    deliver_at      timestamptz DEFAULT NULL,
    notify          boolean     DEFAULT true
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_tenant  record;
    v_type    text := publish.type;
    v_now     timestamptz := clock_timestamp();
    v_id      uuid := trunkline.uuid_v7(v_now);
    v_last    uuid;
    v_bytes   bytea;
    v_judged  boolean;
    v_body    bytea;
    v_holder  record;
    v_parsed  json;
BEGIN
    SELECT t.lane, t.status INTO v_tenant FROM trunkline.tenants AS t WHERE t.tenant_id = publish.tenant_id;
    IF NOT FOUND OR v_tenant.status = 'DELETED' THEN
        RAISE EXCEPTION 'there is no tenant %', quote_nullable(publish.tenant_id)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Create it with POST /v1/tenants or `trunkline tenant create`.';
    ELSIF v_tenant.status = 'SUSPENDED' THEN
        RAISE EXCEPTION 'tenant % is suspended and publishes nothing', publish.tenant_id
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Ask its operator.';
    END IF;
    PERFORM trunkline.check_payload(publish.payload);
    v_bytes := convert_to(publish.payload, 'UTF8');
    v_judged := trunkline.is_judged(publish.payload);
    IF v_type IS NULL THEN
        v_parsed := trunkline.without_nul(publish.payload)::json;
        v_type := CASE 'string'
            WHEN json_typeof(v_parsed -> 'type') THEN v_parsed ->> 'type'
            WHEN json_typeof(v_parsed -> 'event') THEN v_parsed ->> 'event'
        END;
    END IF;
    IF v_type IS NOT NULL AND v_type !~ '^[\x21-\x7e]{1,128}$' THEN
        RAISE EXCEPTION 'an event type is 1 to 128 visible ASCII characters without spaces'
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF publish.idempotency_key !~ '^[\x21-\x7e]{1,255}$' THEN
        RAISE EXCEPTION 'an idempotency_key is 1 to 255 visible ASCII characters without spaces'
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF publish.ordering_key !~ '^[\x21-\x7e]{1,255}[\x21-\x7e]?$' THEN
        RAISE EXCEPTION 'an ordering_key is 1 to 256 visible ASCII characters without spaces'
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF publish.deliver_at > v_now + interval '30 days' THEN
        RAISE EXCEPTION 'deliver_at lies at most 30 days ahead' USING ERRCODE = 'invalid_parameter_value';
    END IF;

    IF publish.ordering_key IS NOT NULL THEN
        INSERT INTO trunkline.ordering_keys AS k (lane, tenant_id, key, last_event_id)
        VALUES (v_tenant.lane, publish.tenant_id, publish.ordering_key, '00000000-0000-0000-0000-000000000000')
        ON CONFLICT (lane, tenant_id, key) DO UPDATE SET last_event_id = k.last_event_id
        RETURNING k.last_event_id INTO v_last;
        -- Whoever had the key before may have made an id that is larger than the time now.
        v_now := clock_timestamp();
        v_id := trunkline.uuid_v7(v_now);
        IF v_id <= v_last THEN
            v_id := trunkline.uuid_v7_next(v_last);
        END IF;
        UPDATE trunkline.ordering_keys AS k
        SET last_event_id = v_id
        WHERE k.lane = v_tenant.lane AND k.tenant_id = publish.tenant_id AND k.key = publish.ordering_key;
    END IF;

    IF publish.idempotency_key IS NOT NULL THEN
        v_body := sha256(convert_to(coalesce(v_type, ''), 'UTF8') || '\x00'::bytea || v_bytes);
        INSERT INTO trunkline.idempotency_keys AS k (lane, tenant_id, key, body_sha256, event_id, expires_at)
        VALUES (v_tenant.lane, publish.tenant_id, publish.idempotency_key, v_body, v_id, v_now + interval '24 hours')
        ON CONFLICT (lane, tenant_id, key) DO UPDATE
        SET body_sha256 = EXCLUDED.body_sha256, event_id = EXCLUDED.event_id, expires_at = EXCLUDED.expires_at
        WHERE k.expires_at <= v_now;
        IF NOT FOUND THEN
            SELECT k.body_sha256, k.event_id INTO v_holder
            FROM trunkline.idempotency_keys AS k
            WHERE k.lane = v_tenant.lane AND k.tenant_id = publish.tenant_id AND k.key = publish.idempotency_key;
            IF v_holder.body_sha256 <> v_body THEN
                RAISE EXCEPTION 'this idempotency_key was used with another body within 24 hours'
                    USING ERRCODE = 'unique_violation', HINT = 'Use a new key for a new event.';
            END IF;
            RETURN 'evt_' || replace(v_holder.event_id::text, '-', '');
        END IF;
    END IF;

    WITH matched AS (
        SELECT e.endpoint_id, CASE WHEN e.ordered THEN publish.ordering_key END AS ordering_key
        FROM trunkline.endpoints AS e
        WHERE e.tenant_id = publish.tenant_id AND e.enabled AND NOT e.operational AND e.deleted_at IS NULL
          -- The API's ingest statement matches by the same words; one corpus tests both.
          AND (
              e.event_types IS NULL OR EXISTS (
                  SELECT FROM unnest(e.event_types) AS wanted
                  WHERE v_type = wanted OR (right(wanted, 2) = '.*' AND starts_with(v_type, left(wanted, -1)))
              )
          )
          AND (e.payload_filter IS NULL OR (v_judged AND trunkline.payload_matches(v_bytes, e.payload_filter)))
    ), fanned_out AS (
        INSERT INTO trunkline.deliveries
            (lane, tenant_id, event_id, endpoint_id, status, due_at, created_at, ordering_key)
        SELECT v_tenant.lane, publish.tenant_id, v_id, endpoint_id, 'PENDING', greatest(publish.deliver_at, v_now), v_now,
               ordering_key
        FROM matched
    ), kept AS (
        INSERT INTO trunkline.payloads (lane, tenant_id, event_id, payload)
        VALUES (v_tenant.lane, publish.tenant_id, v_id, v_bytes)
    )
    INSERT INTO trunkline.events
        (lane, tenant_id, event_id, type, payload_sha256, payload_bytes, created_at, deliver_at, ordering_key, routed)
    VALUES (v_tenant.lane, publish.tenant_id, v_id, v_type, sha256(v_bytes), octet_length(v_bytes), v_now,
            publish.deliver_at, publish.ordering_key, EXISTS (SELECT FROM matched));

    IF publish.ordering_key IS NOT NULL THEN
        UPDATE trunkline.deliveries AS d
        SET held = true, due_at = NULL
        FROM trunkline.endpoints AS e
        WHERE d.lane = v_tenant.lane AND d.tenant_id = publish.tenant_id AND d.event_id = v_id
          AND e.tenant_id = d.tenant_id AND e.endpoint_id = d.endpoint_id AND d.ordering_key IS NOT NULL
          AND (
              EXISTS (
                  SELECT FROM trunkline.deliveries AS b
                  WHERE b.lane = d.lane AND b.tenant_id = d.tenant_id AND b.endpoint_id = d.endpoint_id
                    AND b.ordering_key = d.ordering_key AND b.finished_at IS NULL AND b.event_id < d.event_id
              )
              OR (e.ordering_blocks AND EXISTS (
                  SELECT FROM trunkline.deliveries AS b
                  WHERE b.lane = d.lane AND b.tenant_id = d.tenant_id AND b.status = 'FAILED' AND b.due_at IS NULL
                    AND b.endpoint_id = d.endpoint_id AND b.ordering_key = d.ordering_key AND b.event_id < d.event_id
              ))
          );
    END IF;

    -- One constant payload: however often a transaction publishes, it notifies once.
    IF publish.notify THEN
        PERFORM pg_notify('trunkline_due', '');
    END IF;
    RETURN 'evt_' || replace(v_id::text, '-', '');
END
$$;
COMMENT ON FUNCTION trunkline.publish(text, text, text, text, text, timestamptz, boolean) IS
    'Publishes an event in the caller''s own transaction: commit = published, rollback = nothing. Returns its id as the API shows '
    'it. The payload is kept byte for byte. type NULL = the payload''s member type, else event. notify false = leave it to the '
    'workers'' poll: a notification makes commits of the whole cluster wait for each other.';

CREATE FUNCTION trunkline.uuid_v7_next(id uuid) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    -- The low 62 bits plus one; where they are full (one in 4.6e18), the next fraction of the millisecond.
    SELECT CASE
        WHEN right(hex, 15) < 'fffffffffffffff' THEN
            (left(hex, 17) || lpad(to_hex(('x' || right(hex, 15))::bit(60)::bigint + 1), 15, '0'))::uuid
        WHEN substr(hex, 17, 1) < 'b' THEN
            (left(hex, 16) || translate(substr(hex, 17, 1), '89a', '9ab') || repeat('0', 15))::uuid
        WHEN substr(hex, 14, 3) < 'fff' THEN
            (left(hex, 13) || lpad(to_hex(('x' || substr(hex, 14, 3))::bit(12)::integer + 1), 3, '0') || '8' || repeat('0', 15))::uuid
        ELSE
            (lpad(to_hex(('x' || left(hex, 12))::bit(48)::bigint + 1), 12, '0') || '7000' || '8' || repeat('0', 15))::uuid
    END
    FROM (SELECT replace(id::text, '-', '') AS hex) AS digits
$$;
COMMENT ON FUNCTION trunkline.uuid_v7_next(uuid) IS
    'The next larger UUID version 7. The same bits as EventId::after in crates/domain; a test holds both against one table.';

CREATE FUNCTION trunkline.publish(
    tenant_id       text,
    type            text,
    payload         json,
    idempotency_key text        DEFAULT NULL,
    ordering_key    text        DEFAULT NULL,
    deliver_at      timestamptz DEFAULT NULL,
    notify          boolean     DEFAULT true
) RETURNS text
LANGUAGE sql VOLATILE
RETURN trunkline.publish(tenant_id, type, payload::text, idempotency_key, ordering_key, deliver_at, notify);
COMMENT ON FUNCTION trunkline.publish(text, text, json, text, text, timestamptz, boolean) IS
    'The same with a payload of type json, which is kept byte for byte too.';

CREATE FUNCTION trunkline.publish(
    tenant_id       text,
    type            text,
    payload         jsonb,
    idempotency_key text        DEFAULT NULL,
    ordering_key    text        DEFAULT NULL,
    deliver_at      timestamptz DEFAULT NULL,
    notify          boolean     DEFAULT true
) RETURNS text
LANGUAGE sql VOLATILE
RETURN trunkline.publish(tenant_id, type, payload::text, idempotency_key, ordering_key, deliver_at, notify);
COMMENT ON FUNCTION trunkline.publish(text, text, jsonb, text, text, timestamptz, boolean) IS
    'The same with a payload of type jsonb, kept as PostgreSQL writes it out.';

CREATE FUNCTION trunkline.publish_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- tenant, prefix of the type, whether a failure may fail the write, then the columns of the key
    v_operation text := CASE TG_OP WHEN 'INSERT' THEN 'inserted' WHEN 'UPDATE' THEN 'updated' ELSE 'deleted' END;
    v_old       jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    v_new       jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
    v_key       jsonb;
    v_head      jsonb;
BEGIN
    SELECT jsonb_object_agg(name, coalesce(v_new, v_old) -> name) INTO v_key FROM unnest(TG_ARGV[3:]) AS name;
    v_head := jsonb_build_object(
        'type', TG_ARGV[1] || '.' || v_operation, 'table', format('%I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME),
        'operation', v_operation, 'key', v_key);
    BEGIN
        PERFORM trunkline.publish(TG_ARGV[0], TG_ARGV[1] || '.' || v_operation,
                                  v_head || jsonb_strip_nulls(jsonb_build_object('old', v_old, 'new', v_new)));
        RETURN NULL;
    EXCEPTION WHEN invalid_parameter_value THEN
        -- Too large, or too deep: the key tells where to look.
        NULL;
    END;
    PERFORM trunkline.publish(TG_ARGV[0], TG_ARGV[1] || '.' || v_operation, v_head || '{"truncated": true}');
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    IF TG_ARGV[2]::boolean THEN
        RAISE;
    END IF;
    RAISE WARNING 'a change of %.% was not published: %', TG_TABLE_SCHEMA, TG_TABLE_NAME, SQLERRM;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION trunkline.publish_change() IS 'The trigger function behind trunkline.watch_table.';

CREATE FUNCTION trunkline.watch_table(
    watched     regclass,
    tenant_id   text,
    type_prefix text    DEFAULT NULL,
    strict      boolean DEFAULT false
) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    v_table  record;
    v_prefix text;
    v_key    text[];
BEGIN
    SELECT c.relname, n.nspname, c.relkind, c.relowner, c.relpersistence INTO v_table
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = watched;
    IF v_table.relkind NOT IN ('r', 'p') OR v_table.relpersistence = 't' OR v_table.nspname IN ('trunkline', 'pg_catalog') THEN
        RAISE EXCEPTION '% is no table that can be watched', watched
            USING ERRCODE = 'wrong_object_type', HINT = 'Watch ordinary or partitioned tables of your own.';
    END IF;
    IF NOT pg_catalog.pg_has_role(current_user, v_table.relowner, 'USAGE') THEN
        RAISE EXCEPTION 'only the owner of % may have it watched', watched USING ERRCODE = 'insufficient_privilege';
    END IF;
    v_prefix := coalesce(type_prefix, v_table.relname);
    IF v_prefix !~ '^[\x21-\x7e]{1,100}$' THEN
        RAISE EXCEPTION 'type_prefix is 1 to 100 visible ASCII characters without spaces'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT coalesce(pg_catalog.array_agg(a.attname::text ORDER BY a.attnum), '{}') INTO v_key
    FROM pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = watched AND i.indisprimary;
    PERFORM trunkline.unwatch_table(watched);
    EXECUTE pg_catalog.format(
        'CREATE TRIGGER trunkline_watch AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW '
        'EXECUTE FUNCTION trunkline.publish_change(%L, %L, %L%s)',
        watched, tenant_id, v_prefix, strict::text,
        (SELECT coalesce(pg_catalog.string_agg(pg_catalog.format(', %L', name), ''), '') FROM unnest(v_key) AS name));
END
$$;
COMMENT ON FUNCTION trunkline.watch_table(regclass, text, text, boolean) IS
    'From now on each inserted, updated or deleted row of a table that the caller owns is published as <type_prefix>.inserted, '
    '.updated or .deleted, in the transaction that changes it. A row too large sends its key and "truncated": true. A change that '
    'cannot be published is told as a warning; strict true = it fails the write instead.';

CREATE FUNCTION trunkline.unwatch_table(watched regclass) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE pg_catalog.format('DROP TRIGGER IF EXISTS trunkline_watch ON %s', watched);
END
$$;
COMMENT ON FUNCTION trunkline.unwatch_table(regclass) IS 'Ends what trunkline.watch_table began.';

REVOKE EXECUTE ON FUNCTION trunkline.publish(text, text, text, text, text, timestamptz, boolean) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION trunkline.publish(text, text, json, text, text, timestamptz, boolean) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION trunkline.publish(text, text, jsonb, text, text, timestamptz, boolean) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION trunkline.publish_change() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION trunkline.watch_table(regclass, text, text, boolean) FROM PUBLIC;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'trunkline_publisher') THEN
        CREATE ROLE trunkline_publisher NOLOGIN;
    END IF;
EXCEPTION
    -- Roles belong to the whole cluster: another database may be migrating at this moment.
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE WARNING 'the role trunkline_publisher was not created: CREATEROLE is missing; docs/SQL.md has the GRANTs to make by hand';
END
$$;

DO $$
BEGIN
    GRANT USAGE ON SCHEMA trunkline TO trunkline_publisher;
    GRANT EXECUTE ON FUNCTION trunkline.publish(text, text, text, text, text, timestamptz, boolean) TO trunkline_publisher;
    GRANT EXECUTE ON FUNCTION trunkline.publish(text, text, json, text, text, timestamptz, boolean) TO trunkline_publisher;
    GRANT EXECUTE ON FUNCTION trunkline.publish(text, text, jsonb, text, text, timestamptz, boolean) TO trunkline_publisher;
    GRANT EXECUTE ON FUNCTION trunkline.publish_change() TO trunkline_publisher;
    GRANT EXECUTE ON FUNCTION trunkline.watch_table(regclass, text, text, boolean) TO trunkline_publisher;
EXCEPTION WHEN undefined_object THEN
    NULL;
END
$$;
