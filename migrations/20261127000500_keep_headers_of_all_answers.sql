-- Whether headers of successes are kept too is a setting (delivery.keep_headers).
COMMENT ON COLUMN trunkline.attempts.response_headers IS 'The answer''s headers, a line `name: value` each, in at most 4 KiB of whole lines, cookies masked; as bytes: it is the endpoint''s text. NULL = no answer, or a success where only those of failures are kept.';
