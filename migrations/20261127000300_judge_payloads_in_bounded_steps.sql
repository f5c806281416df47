-- Payload filters cost no more than can be told beforehand, so that no clock decides what matches: the same payload meets the same
-- filters with the same outcome by REST, by SQL, in a replay and when it is explained, however busy the server is.

CREATE FUNCTION trunkline.weigh_filter(filter text, OUT weight integer, OUT complaint text)
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    v_path      text;
    v_is_single boolean;
    v_token     text;
    v_depth     integer := 0;
    v_filter_at integer;
    v_ranges    integer;
BEGIN
    BEGIN
        -- As PostgreSQL writes it: keywords, keys and blanks have one form.
        v_path := filter::jsonpath::text;
    EXCEPTION
        WHEN data_exception OR syntax_error_or_access_rule_violation OR program_limit_exceeded OR feature_not_supported THEN
            complaint := SQLERRM;
            RETURN;
    END;
    IF octet_length(v_path) > 4096 THEN
        complaint := 'its numbers are too long';
        RETURN;
    END IF;
    -- Strings are emptied, so that only grammar is left.
    v_path := regexp_replace(v_path, '"(\\.|[^"\\])*"', '""', 'g');
    v_is_single := starts_with(v_path, 'strict ') AND v_path !~ '\[\*\]|\.\*| to ';
    -- Whatever makes more items than there are, or takes one twice, multiplies with itself.
    IF v_path ~ 'like_regex' THEN
        complaint := 'like_regex is not accepted';
    ELSIF v_path ~ '\.\*\*' THEN
        complaint := '.** is not accepted, since it takes parts of a payload many times: name the path';
    ELSIF v_path ~ '\.keyvalue\(' THEN
        complaint := '.keyvalue() is not accepted, since it takes parts of a payload many times';
    END IF;
    v_ranges := regexp_count(v_path, ' to ');
    v_path := regexp_replace(
        v_path, '\[(\*|(-?[0-9]+|last( [-+] [0-9]+)?)( to (-?[0-9]+|last( [-+] [0-9]+)?))?)\]', '[]', 'g');
    IF complaint IS NULL AND v_path ~ '\[[^]]' THEN
        complaint := 'in brackets it accepts a number, last, one range, or a star';
    ELSIF complaint IS NULL AND v_path ~ ' [*/%] (?!-?[0-9])' THEN
        complaint := 'it multiplies and divides only by numbers, which stand on the right: $.cents / 100 > 5';
    END IF;
    IF complaint IS NULL AND NOT v_is_single THEN
        -- A comparison takes each item of one side with each of the other, and arrays are unwrapped without being asked.
        v_path := regexp_replace(
            v_path, ' (==|!=|<=|>=|<|>) (""|-?[0-9.]+|true|false|null)(\.datetime\((""|)\))?(?=\)| &&| \|\|)', ' ~ \2\3', 'g');
        v_path := regexp_replace(
            v_path, '(\(|&& |\|\| )(""|-?[0-9.]+|true|false|null)(\.datetime\((""|)\))? (==|!=|<=|>=|<|>) ', '\1\2\3 ~ ', 'g');
        IF v_path ~ ' (==|!=|<=|>=|<|>) ' THEN
            complaint := 'it compares two paths, and each of them may be many items: compare with a constant, or write strict '
                'without stars and ranges, as in strict $.total > $.limit';
        END IF;
        -- What begins with $ inside ?(...) looks at the whole payload once for each item.
        FOR v_token IN SELECT t[1] FROM regexp_matches(v_path, '\?\(|[()$]', 'g') AS t LOOP
            CASE v_token
                WHEN '$' THEN
                    IF v_filter_at IS NOT NULL AND complaint IS NULL THEN
                        complaint := 'inside ?(...) it accepts only paths that begin with @';
                    END IF;
                WHEN ')' THEN
                    IF v_depth = v_filter_at THEN
                        v_filter_at := NULL;
                    END IF;
                    v_depth := v_depth - 1;
                ELSE
                    v_depth := v_depth + 1;
                    IF v_token = '?(' AND v_filter_at IS NULL THEN
                        v_filter_at := v_depth;
                    END IF;
            END CASE;
        END LOOP;
    END IF;
    IF complaint IS NULL THEN
        -- What PostgreSQL does once for each item, in units of the cheapest; arithmetic and times cost as much more (measured).
        weight := regexp_count(v_path, '[$@]|\.""|\.\*|\[|\?\(|&&|\|\||!|exists|is unknown|[-+]|\.[a-z]+\(')
            + 2 * regexp_count(v_path, '~| == | != | <= | >= | < | > |starts with')
            + 5 * v_ranges
            + 10 * regexp_count(v_path, '\.double\(')
            + 40 * regexp_count(v_path, '\.datetime\(')
            + 64 * regexp_count(v_path, ' [-+*/%] ');
        IF weight > 1000 THEN
            weight := NULL;
            complaint := 'it has too many operators; times and arithmetic count most';
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION trunkline.weigh_filter(text) IS
    'What a payload filter costs for each item of a payload, in steps; or what is wrong with it: that it is no path, or that its cost '
    'could grow faster than the payload.';

CREATE FUNCTION trunkline.filter_weight(filter text) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (trunkline.weigh_filter(filter)).weight;
COMMENT ON FUNCTION trunkline.filter_weight(text) IS
    'The steps of a payload filter for each item; NULL = it is asked of no payload. See trunkline.weigh_filter.';

-- Rewrites the table, which is small. A filter that was saved under looser rules weighs NULL: `trunkline doctor` tells.
ALTER TABLE trunkline.endpoints
    ADD COLUMN filter_weight integer GENERATED ALWAYS AS (trunkline.filter_weight(payload_filter)) STORED;
COMMENT ON COLUMN trunkline.endpoints.filter_weight IS
    'Steps that its payload filter takes for each item of a payload; NULL = it has none, or one that could take too long and matches nothing.';

CREATE FUNCTION trunkline.judge(of_tenant text, of_type text, payload bytea)
RETURNS TABLE (endpoint_id uuid, ordered boolean, verdict text)
LANGUAGE plpgsql STABLE COST 1000 ROWS 3
AS $$
#variable_conflict use_column
DECLARE
    v_text  text;
    v_json  jsonb;
    v_items bigint;
    v_one   record;
BEGIN
    FOR v_one IN
        SELECT e.endpoint_id, e.ordered, e.payload_filter, e.filter_weight, sum(e.filter_weight) OVER () AS weight
        FROM trunkline.endpoints AS e
        WHERE e.tenant_id = of_tenant AND e.payload_filter IS NOT NULL AND e.enabled AND NOT e.operational AND e.deleted_at IS NULL
          AND (
              e.event_types IS NULL OR EXISTS (
                  SELECT FROM unnest(e.event_types) AS wanted
                  WHERE of_type = wanted OR (right(wanted, 2) = '.*' AND starts_with(of_type, left(wanted, -1)))
              )
          )
    LOOP
        IF v_items IS NULL THEN
            v_text := convert_from(judge.payload, 'UTF8');
            -- No sequence of a path holds more items than there are commas and, where nothing stands beside it, levels. The API's
            -- flusher counts in the same way.
            v_items := length(v_text) - length(replace(v_text, ',', '')) + octet_length(judge.payload) / 64 + 64;
        END IF;
        endpoint_id := v_one.endpoint_id;
        ordered := v_one.ordered;
        verdict := CASE
            WHEN v_one.filter_weight IS NULL THEN 'refused'
            WHEN v_one.weight * v_items > 500000 THEN 'too many steps'
        END;
        IF verdict IS NULL THEN
            BEGIN
                IF v_json IS NULL THEN
                    v_json := v_text::jsonb;
                END IF;
                verdict := CASE jsonb_path_match(v_json, v_one.payload_filter::jsonpath, '{}', true)
                    WHEN true THEN 'passes'
                    WHEN false THEN 'fails'
                    ELSE 'no boolean'
                END;
            EXCEPTION
                WHEN data_exception OR syntax_error_or_access_rule_violation OR program_limit_exceeded OR internal_error
                  OR feature_not_supported THEN
                    verdict := 'no boolean';
            END;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION trunkline.judge(text, text, bytea) IS
    'What the payload filters of a tenant''s endpoints that take events of this type say of a payload: passes, fails, no boolean, refused '
    '(the filter could take too long), too many steps (more than 500,000 for all of them, which is a tenth of a second at worst).';

CREATE FUNCTION trunkline.judge_apart(of_tenant text) RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    RAISE EXCEPTION 'events of this tenant are judged by filters' USING ERRCODE = 'TL001', DETAIL = of_tenant;
END
$$;
COMMENT ON FUNCTION trunkline.judge_apart(text) IS
    'Ends a statement that was to be without payload filters, because a tenant has one meanwhile; the error''s detail names the tenant.';

CREATE OR REPLACE FUNCTION trunkline.filter_complaint(filter text) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
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
    BEGIN
        -- By the grammar, only a predicate can stand before `is unknown`; what yields values, such as $.a, cannot. The text by
        -- itself is a path already, so that its parentheses cannot close ours.
        PERFORM ('(' || regexp_replace(filter, '^\s*(lax|strict)\M', '', 'i') || ') is unknown')::jsonpath;
    EXCEPTION
        WHEN data_exception OR syntax_error_or_access_rule_violation OR program_limit_exceeded OR feature_not_supported THEN
            RETURN 'it yields values, no yes or no: write a comparison such as $.total > 100, or '
                'exists($.items[*] ? (@.price > 100))';
    END;
    RETURN (trunkline.weigh_filter(filter)).complaint;
END
$$;
