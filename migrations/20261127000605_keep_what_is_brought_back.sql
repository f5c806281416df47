-- A day whose history was dropped and is brought back from its export is past its retention: it must be able to stay for a while.

ALTER TABLE trunkline.history_partitions ADD COLUMN kept_until date;
COMMENT ON COLUMN trunkline.history_partitions.kept_until IS
    'Not dropped before that day (UTC), though its retention is over: it was brought back; NULL = as the retention says.';

CREATE FUNCTION trunkline.create_partition(first_day date, end_day date, keep_until date) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM trunkline.create_partition(first_day, end_day);
    UPDATE trunkline.history_partitions SET kept_until = keep_until WHERE from_day = first_day;
END
$$;
COMMENT ON FUNCTION trunkline.create_partition(date, date, date) IS
    'The same for days that are brought back: no retention drops them before keep_until.';
REVOKE EXECUTE ON FUNCTION trunkline.create_partition(date, date, date) FROM PUBLIC;
