-- What an endpoint said besides its status often tells why it refused: which proxy answered, what limit was hit. Kept for
-- answers that are failures; nobody asks for those of a success, and they would cost every delivery its bytes of WAL.

ALTER TABLE trunkline.attempts
    ADD COLUMN response_headers bytea CHECK (octet_length(response_headers) <= 4096);
COMMENT ON TABLE trunkline.attempts IS 'Every HTTP call made for a delivery. Rows are added, and change only when the content of their event is erased: the answer goes with it.';
COMMENT ON COLUMN trunkline.attempts.response_headers IS 'The headers of an answer that is a failure, a line `name: value` each, in at most 4 KiB of whole lines, cookies masked; as bytes: it is the endpoint''s text. NULL = a success, or no answer.';
