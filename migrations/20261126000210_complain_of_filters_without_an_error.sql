-- What is wrong with a payload filter as an answer instead of an error: to the server's log, and to whoever counts its errors, a
-- text that a tenant got wrong is no failed statement.

CREATE FUNCTION trunkline.filter_complaint(filter text) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    -- Canonical, because keywords can be written with escapes too.
    v_path jsonpath;
BEGIN
    BEGIN
        v_path := filter::jsonpath;
        -- Asked of an empty object, so that what only an evaluation finds, such as a variable, is found.
        PERFORM jsonb_path_match('{}', v_path, '{}', true);
    EXCEPTION
        WHEN data_exception OR syntax_error_or_access_rule_violation OR program_limit_exceeded OR feature_not_supported THEN
            RETURN SQLERRM;
    END;
    IF strpos(lower(v_path::text), 'like_regex') > 0 THEN
        RETURN 'like_regex is not accepted';
    END IF;
    BEGIN
        -- By the grammar, only a predicate can stand before `is unknown`; what yields values, such as $.a, cannot. The text by
        -- itself is a path already, so that its parentheses cannot close ours.
        PERFORM ('(' || regexp_replace(filter, '^\s*(lax|strict)\M', '', 'i') || ') is unknown')::jsonpath;
    EXCEPTION
        WHEN data_exception OR syntax_error_or_access_rule_violation OR program_limit_exceeded OR feature_not_supported THEN
            RETURN 'it yields values, no yes or no: write a comparison such as $.total > 100, or '
                'exists($.items[*] ? (@.price > 100))';
    END;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION trunkline.filter_complaint(text) IS
    'What is wrong with a text as a payload filter: the server''s own words, or ours; NULL = it is one.';
