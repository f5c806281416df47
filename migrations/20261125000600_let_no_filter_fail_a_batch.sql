-- PostgreSQL reports a comparison of times that needs a time zone as a feature that it does not support (0A000), although it was
-- asked to be silent: $.at.datetime() < "2026-06-01".datetime() and a payload whose time has an offset. Until now that failed
-- the whole statement, and so every event of its batch.

CREATE OR REPLACE FUNCTION trunkline.payload_matches(payload bytea, filter text) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN coalesce(jsonb_path_match(convert_from(payload, 'UTF8')::jsonb, filter::jsonpath, '{}', true), false);
EXCEPTION
    -- A statement that is cancelled is none of these: it ends.
    WHEN data_exception OR syntax_error_or_access_rule_violation OR program_limit_exceeded OR internal_error
      OR feature_not_supported THEN
        RETURN false;
END
$$;

CREATE OR REPLACE FUNCTION trunkline.payload_verdict(payload bytea, filter text) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN jsonb_path_match(convert_from(payload, 'UTF8')::jsonb, filter::jsonpath, '{}', true);
EXCEPTION
    WHEN data_exception OR syntax_error_or_access_rule_violation OR program_limit_exceeded OR internal_error
      OR feature_not_supported THEN
        RETURN NULL;
END
$$;
