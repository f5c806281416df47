-- What the store asks of Citus, and nothing that Citus does: each call is written down, and refused where Citus would refuse it. Rows
-- stay where they are, so that the statements can be run once for each shard.
SET allow_system_table_mods = on;
CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass PRIMARY KEY, partmethod "char" NOT NULL);
CREATE TABLE pg_catalog.pg_dist_local_group (groupid integer NOT NULL);
CREATE TABLE pg_catalog.pg_dist_node (
    nodename text, nodeport integer, groupid integer, isactive boolean DEFAULT true, shouldhaveshards boolean DEFAULT true);
CREATE TABLE pg_catalog.pg_dist_shard (logicalrelid regclass, shardid bigint);
CREATE TABLE pg_catalog.pg_dist_placement (shardid bigint, shardstate integer, groupid integer);
GRANT SELECT ON pg_catalog.pg_dist_partition TO PUBLIC;
INSERT INTO pg_dist_local_group VALUES (0);
INSERT INTO pg_dist_node
VALUES ('coordinator', 5432, 0, true, false), ('one', 5432, 1, true, true), ('two', 5432, 2, true, true);
INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
VALUES (99999, 'citus', 10, 'pg_catalog'::regnamespace, false, '13.2-1');

CREATE TABLE public.asked (number serial, call text);

CREATE FUNCTION pg_catalog.refuse_what_citus_refuses(t regclass, lane_needed boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = t AND NOT tgisinternal) THEN
        RAISE EXCEPTION 'cannot distribute relation "%" because it has triggers', t USING ERRCODE = 'feature_not_supported';
    ELSIF EXISTS (SELECT FROM pg_constraint WHERE contype = 'f' AND t IN (conrelid, confrelid)) THEN
        RAISE EXCEPTION 'cannot create foreign key constraint on %', t USING ERRCODE = 'feature_not_supported';
    ELSIF EXISTS (SELECT FROM pg_policy WHERE polrelid = t AND pg_get_expr(polqual, polrelid) LIKE '%SELECT%') THEN
        RAISE EXCEPTION 'cannot create policy' USING DETAIL = 'Subqueries are not supported in policies on distributed tables';
    ELSIF (SELECT relforcerowsecurity FROM pg_class WHERE oid = t) THEN
        RAISE EXCEPTION 'COPY FROM not supported with row-level security';
    ELSIF EXISTS (SELECT FROM pg_attribute WHERE attrelid = t AND attacl IS NOT NULL) THEN
        RAISE EXCEPTION 'grant/revoke on column list is currently unsupported: %', t;
    ELSIF lane_needed AND EXISTS (
        SELECT FROM pg_index AS i WHERE i.indrelid = t AND i.indisunique
          AND NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = t AND a.attname = 'lane' AND a.attnum = ANY (i.indkey))
    ) THEN
        RAISE EXCEPTION 'cannot create constraint on "%"', t USING DETAIL = 'Distributed relations cannot have UNIQUE constraints that do not include the partition column';
    END IF;
END
$$;

CREATE FUNCTION pg_catalog.create_reference_table(table_name regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM refuse_what_citus_refuses(table_name, false);
    INSERT INTO public.asked (call) VALUES ('reference ' || (SELECT relname FROM pg_class WHERE oid = table_name));
    INSERT INTO pg_dist_partition VALUES (table_name, 'n');
END
$$;

CREATE FUNCTION pg_catalog.create_distributed_table(
    table_name regclass, distribution_column text, colocate_with text DEFAULT 'default', shard_count integer DEFAULT NULL)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM refuse_what_citus_refuses(table_name, true);
    INSERT INTO public.asked (call) VALUES (concat_ws(' ', 'distributed', (SELECT relname FROM pg_class WHERE oid = table_name), distribution_column, colocate_with, shard_count));
    INSERT INTO pg_dist_partition
    SELECT table_name, 'h'::"char" UNION ALL SELECT inhrelid, 'h' FROM pg_inherits WHERE inhparent = table_name;
    INSERT INTO pg_dist_shard SELECT table_name, table_name::oid::bigint * 10 + n FROM generate_series(0, 3) AS n;
    INSERT INTO pg_dist_placement SELECT table_name::oid::bigint * 10 + n, 1, 1 + n % 2 FROM generate_series(0, 3) AS n;
END
$$;

CREATE FUNCTION pg_catalog.create_distributed_function(function regprocedure) RETURNS void LANGUAGE sql
RETURN NULL;
CREATE FUNCTION pg_catalog.truncate_local_data_after_distributing_table(table_name regclass) RETURNS void LANGUAGE sql
RETURN NULL;
-- Four shards, dealt out.
CREATE FUNCTION pg_catalog.get_shard_id_for_distribution_column(table_name regclass, lane smallint) RETURNS bigint LANGUAGE sql
RETURN 102008 + lane % 4;
