-- What explaining a filter needs beside trunkline.payload_matches, and what finds the endpoints that fail for days.

CREATE FUNCTION trunkline.payload_verdict(payload bytea, filter text) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN jsonb_path_match(convert_from(payload, 'UTF8')::jsonb, filter::jsonpath, '{}', true);
EXCEPTION
    WHEN data_exception OR syntax_error_or_access_rule_violation OR program_limit_exceeded OR internal_error THEN
        RETURN NULL;
END
$$;
COMMENT ON FUNCTION trunkline.payload_verdict(bytea, text) IS
    'As trunkline.payload_matches, but NULL where the path found no boolean: it tells a payload that fails a filter from one '
    'that the filter says nothing about. Only explanations ask it.';

-- Few rows: an endpoint is in it only while its last attempt failed.
CREATE INDEX endpoints_failing ON trunkline.endpoints (failing_since) WHERE failing_since IS NOT NULL AND enabled;

COMMENT ON TABLE trunkline.events IS 'What tenants published. Rows never change, routed apart.';
COMMENT ON COLUMN trunkline.events.routed IS
    'Whether any endpoint matched when it came, or a replay has found one since; false = UNROUTED, kept for a replay.';
