-- Whoever inserts into history as part of a statement returns the lane of what it wrote: on a cluster, rows whose insertion returns
-- nothing are copied into their shard instead, which row security refuses (crates/store/src/citus.rs).
GRANT SELECT (lane) ON trunkline.payloads TO trunkline_ingest;
GRANT SELECT (lane) ON trunkline.attempts TO trunkline_operator;
