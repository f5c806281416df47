-- Who may do what in the database. Each door has a role of its own with the least it needs; which rights those are stands in one
-- list, crates/store/src/roles/rights.rs, which `trunkline migrate` grants after the last migration. What follows here is what
-- rights cannot say: which rows of a table a role may touch.
--
-- Beside the release before, which connects as the owner of the tables: an owner is made a member of every role, and is held
-- to no tenant by that.

-- Roles belong to the whole cluster: another database of it, or a DBA, may have made them before, or at this moment.
DO $$
DECLARE
    v_role    text;
    v_roles   text[] := ARRAY['trunkline_api', 'trunkline_ingest', 'trunkline_operator', 'trunkline_worker', 'trunkline_receiver'];
    v_missing text[] := '{}';
BEGIN
    FOREACH v_role IN ARRAY v_roles LOOP
        IF pg_catalog.to_regrole(v_role) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN NULL;
                WHEN insufficient_privilege THEN v_missing := v_missing || v_role;
            END;
        END IF;
    END LOOP;
    IF v_missing = '{}' THEN
        -- The owner is a member, or row security, which is forced, would hide its own tables from it.
        FOREACH v_role IN ARRAY v_roles LOOP
            IF NOT pg_catalog.pg_has_role(current_user, v_role, 'USAGE') THEN
                BEGIN
                    EXECUTE format('GRANT %I TO %I', v_role, current_user);
                EXCEPTION
                    WHEN unique_violation THEN NULL;
                    WHEN insufficient_privilege THEN v_missing := v_missing || v_role;
                END;
            END IF;
        END LOOP;
    END IF;
    IF v_missing <> '{}' THEN
        -- In the message, since a hint is not always shown.
        RAISE EXCEPTION 'the roles % are missing or not granted to %; let a DBA run, once for the cluster: %GRANT % TO %;',
            array_to_string(v_missing, ', '), current_user,
            (SELECT coalesce(string_agg(format('CREATE ROLE %I NOLOGIN; ', name), ''), '') FROM unnest(v_missing) AS name
             WHERE pg_catalog.to_regrole(name) IS NULL),
            array_to_string(v_roles, ', '), quote_ident(current_user)
            USING ERRCODE = 'insufficient_privilege';
    END IF;
END
$$;

-- For this migration and those to come: a table with a tenant in it calls it once.
CREATE FUNCTION trunkline.hold_to_tenant(held regclass, tenant_column name DEFAULT 'tenant_id') RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', held);
    -- Without the setting there is no tenant, and no row. The comparison is leakproof, so that it is a condition of an index.
    EXECUTE format(
        'CREATE POLICY own_tenant ON %s TO trunkline_api USING (%I = current_setting(''trunkline.tenant_id'', true))',
        held, tenant_column);
    EXECUTE format(
        'CREATE POLICY all_tenants ON %s TO trunkline_ingest, trunkline_operator, trunkline_worker, trunkline_receiver USING (true)',
        held);
END
$$;
COMMENT ON FUNCTION trunkline.hold_to_tenant(regclass, name) IS
    'Lets the role trunkline_api touch only rows of the tenant that the transaction names (SET LOCAL trunkline.tenant_id), and the '
    'roles that serve all tenants every row. Even the owner sees only what its roles may.';
REVOKE EXECUTE ON FUNCTION trunkline.hold_to_tenant(regclass, name) FROM PUBLIC;

CREATE TABLE trunkline.audit (
    audit_id   uuid        PRIMARY KEY,
    at         timestamptz NOT NULL,
    actor      text        NOT NULL CHECK (length(actor) BETWEEN 1 AND 100),
    action     text        NOT NULL CHECK (length(action) BETWEEN 1 AND 50),
    tenant_id  text,
    target     text        CHECK (length(target) <= 200),
    request_id text        CHECK (length(request_id) <= 100)
);
CREATE INDEX audit_tenant ON trunkline.audit (tenant_id, audit_id);
COMMENT ON TABLE trunkline.audit IS
    'Who switched what: every action of an operator, and every switch of a tenant, in the transaction that did it. Rows are added, '
    'never changed, and removed after 400 days.';
COMMENT ON COLUMN trunkline.audit.audit_id IS 'UUID version 7 of at.';
COMMENT ON COLUMN trunkline.audit.at IS 'When it was done, by the database''s clock.';
COMMENT ON COLUMN trunkline.audit.actor IS
    'operator:<the first 12 hexadecimal digits of the SHA-256 of the operator''s key>, key:<id of a tenant''s API key>, login:<database '
    'login, of the command line>, or anyone, where no key was asked for.';
COMMENT ON COLUMN trunkline.audit.action IS 'What was done, such as tenant.suspend or endpoint.pause.';
COMMENT ON COLUMN trunkline.audit.tenant_id IS 'Whose it was; NULL = of all tenants.';
COMMENT ON COLUMN trunkline.audit.target IS 'The endpoint or the key that it was done to; NULL = the tenant itself.';
COMMENT ON COLUMN trunkline.audit.request_id IS 'The x-request-id of the answer; NULL = it was no request.';

DO $$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY ARRAY[
        'tenants', 'api_keys', 'endpoints', 'endpoint_secrets', 'events', 'payloads', 'deliveries', 'attempts', 'idempotency_keys',
        'ordering_keys', 'event_types', 'replays', 'erasures', 'receipts', 'audit'
    ] LOOP
        PERFORM trunkline.hold_to_tenant(format('trunkline.%I', v_table)::regclass);
    END LOOP;
    PERFORM trunkline.hold_to_tenant('trunkline.receptions', 'scope');
END
$$;

-- Workers make partitions, which only the owner of the tables can: through this function, and nothing else of the owner's.
ALTER FUNCTION trunkline.create_partitions(integer, integer) SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
REVOKE EXECUTE ON FUNCTION trunkline.create_partitions(integer, integer) FROM PUBLIC;
