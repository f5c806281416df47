-- The door from SQL, by the rule of filters that is the API's too; and three promises of it that did not hold: a time is finite, a
-- watched table takes every write, and an event says of a row what the row is, its nulls included.

CREATE OR REPLACE FUNCTION trunkline.publish(
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
    -- Where no endpoint has a payload filter, none is prepared for.
    v_judged := EXISTS (
        SELECT FROM trunkline.endpoints AS e
        WHERE e.tenant_id = publish.tenant_id AND e.payload_filter IS NOT NULL AND e.deleted_at IS NULL
    ) AND trunkline.is_judged(publish.payload);
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
    ELSIF NOT isfinite(publish.deliver_at) THEN
        RAISE EXCEPTION 'deliver_at is a point in time; NULL = now' USING ERRCODE = 'invalid_parameter_value';
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
          AND e.payload_filter IS NULL
          -- The API's ingest statement matches by the same words; one corpus tests both.
          AND (
              e.event_types IS NULL OR EXISTS (
                  SELECT FROM unnest(e.event_types) AS wanted
                  WHERE v_type = wanted OR (right(wanted, 2) = '.*' AND starts_with(v_type, left(wanted, -1)))
              )
          )
        UNION ALL
        SELECT j.endpoint_id, CASE WHEN j.ordered THEN publish.ordering_key END
        FROM trunkline.judge(publish.tenant_id, v_type, v_bytes) AS j
        WHERE v_judged AND j.verdict = 'passes'
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

CREATE OR REPLACE FUNCTION trunkline.publish_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- The arguments: tenant, prefix of the type, whether a failure may fail the write, then the columns of the key. Whatever can
    -- fail stands below: no exception of a declaration is caught.
    v_operation text := CASE TG_OP WHEN 'INSERT' THEN 'inserted' WHEN 'UPDATE' THEN 'updated' ELSE 'deleted' END;
    v_type      text := TG_ARGV[1] || '.' || v_operation;
    v_key       jsonb;
    v_head      jsonb;
    v_rows      jsonb;
    v_sql       text;
BEGIN
    v_head := jsonb_build_object(
        'type', v_type, 'table', format('%I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME), 'operation', v_operation);
    BEGIN
        v_rows := CASE TG_OP
            WHEN 'INSERT' THEN jsonb_build_object('new', to_jsonb(NEW))
            WHEN 'DELETE' THEN jsonb_build_object('old', to_jsonb(OLD))
            ELSE jsonb_build_object('old', to_jsonb(OLD), 'new', to_jsonb(NEW))
        END;
        SELECT jsonb_object_agg(name, coalesce(v_rows -> 'new', v_rows -> 'old') -> name) INTO v_key FROM unnest(TG_ARGV[3:]) AS name;
        PERFORM trunkline.publish(TG_ARGV[0], v_type, v_head || jsonb_build_object('key', v_key) || v_rows);
        RETURN NULL;
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
        -- Too large, too deep, or with a json value that no jsonb holds (\u0000, 1e999999): the key tells where to look.
        NULL;
    END;
    v_sql := format(
        'SELECT jsonb_build_object(%s)', (SELECT string_agg(format('%L, ($1).%I', name, name), ', ') FROM unnest(TG_ARGV[3:]) AS name));
    IF TG_OP = 'DELETE' THEN
        EXECUTE v_sql INTO v_key USING OLD;
    ELSE
        EXECUTE v_sql INTO v_key USING NEW;
    END IF;
    v_key := nullif(v_key, '{}');
    PERFORM trunkline.publish(TG_ARGV[0], v_type, v_head || jsonb_build_object('key', v_key, 'truncated', true));
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    IF TG_ARGV[2]::boolean THEN
        RAISE;
    END IF;
    RAISE WARNING 'a change of %.% was not published: %', TG_TABLE_SCHEMA, TG_TABLE_NAME, SQLERRM;
    RETURN NULL;
END
$$;
