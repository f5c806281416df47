-- no-transaction
CREATE INDEX CONCURRENTLY endpoints_uncleared ON trunkline.endpoints (deleted_at) WHERE deleted_at IS NOT NULL AND NOT cleared;
