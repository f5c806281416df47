-- What functions do for a DBA leaves a row in the audit like what routes and commands do: who may read a tenant's history from SQL, and
-- which tables publish. Both write as the owner, since nobody else may, and as whom they were logged in to.

-- Whichever way a row comes and goes: bind_reader is one, DELETE another.
CREATE FUNCTION trunkline.note_reader() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND (OLD.role_name, OLD.tenant_id) IS DISTINCT FROM (NEW.role_name, NEW.tenant_id) THEN
        INSERT INTO trunkline.audit (audit_id, at, actor, action, tenant_id, target)
        SELECT trunkline.uuid_v7(at), at, 'login:' || session_user, 'reader.unbind', OLD.tenant_id, OLD.role_name
        FROM clock_timestamp() AS at;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO trunkline.audit (audit_id, at, actor, action, tenant_id, target)
        SELECT trunkline.uuid_v7(at), at, 'login:' || session_user, 'reader.bind', NEW.tenant_id, NEW.role_name
        FROM clock_timestamp() AS at;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION trunkline.note_reader() IS 'Writes into the audit which login may read which tenant from now on, or no more.';
REVOKE EXECUTE ON FUNCTION trunkline.note_reader() FROM PUBLIC;
CREATE TRIGGER note_reader AFTER INSERT OR UPDATE OR DELETE ON trunkline.reader_tenants
    FOR EACH ROW EXECUTE FUNCTION trunkline.note_reader();

-- Apart from watch_table, which acts as its caller: only who owns a table can make a trigger on it. What it writes it reads from the
-- trigger, so that nobody can have written down what is not so.
CREATE FUNCTION trunkline.note_watch(watched regclass, ends boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_tenant text;
    v_table  text;
BEGIN
    -- The arguments of a trigger are kept one behind the other, each with a zero byte at its end.
    SELECT split_part(encode(g.tgargs, 'escape'), '\000', 1), format('%I.%I', n.nspname, c.relname) INTO v_tenant, v_table
    FROM pg_trigger AS g
    JOIN pg_class AS c ON c.oid = g.tgrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE g.tgrelid = watched AND g.tgname = 'trunkline_watch' AND g.tgfoid = 'trunkline.publish_change()'::regprocedure;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- A table can be watched for a tenant that is still to come, of which the audit knows nothing.
    SELECT t.tenant_id INTO v_tenant FROM trunkline.tenants AS t WHERE t.tenant_id = v_tenant;
    INSERT INTO trunkline.audit (audit_id, at, actor, action, tenant_id, target)
    SELECT trunkline.uuid_v7(at), at, 'login:' || session_user, CASE WHEN ends THEN 'table.unwatch' ELSE 'table.watch' END,
           v_tenant, left(v_table, 200)
    FROM clock_timestamp() AS at;
END
$$;
COMMENT ON FUNCTION trunkline.note_watch(regclass, boolean) IS
    'Writes into the audit for which tenant a table is watched from now on, or no more. trunkline.watch_table and unwatch_table call it.';
REVOKE EXECUTE ON FUNCTION trunkline.note_watch(regclass, boolean) FROM PUBLIC;

-- Whoever was given watch_table, by this role or by another, needs it.
DO $$
DECLARE
    v_grantee text;
BEGIN
    FOR v_grantee IN
        SELECT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END
        FROM pg_proc AS p
        CROSS JOIN LATERAL aclexplode(p.proacl) AS x
        WHERE p.oid = 'trunkline.watch_table(regclass, text, text, boolean)'::regprocedure AND x.grantee <> p.proowner
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION trunkline.note_watch(regclass, boolean) TO %s', v_grantee);
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION trunkline.watch_table(
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
    PERFORM trunkline.note_watch(watched, false);
END
$$;

CREATE OR REPLACE FUNCTION trunkline.unwatch_table(watched regclass) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM trunkline.note_watch(watched, true);
    EXECUTE pg_catalog.format('DROP TRIGGER IF EXISTS trunkline_watch ON %s', watched);
END
$$;
