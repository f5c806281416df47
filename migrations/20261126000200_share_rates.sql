-- What a tenant may still publish, shared by all api processes: each draws what it will use within the next moments.

-- UNLOGGED: a crash of the server loses what was drawn, which is a full bucket, and drawing costs no WAL and waits for no disk.
-- Rows are changed many times a second and never grow: half of each page is kept for their next versions (HOT).
CREATE UNLOGGED TABLE trunkline.rate_buckets (
    tenant_id   text             PRIMARY KEY,
    tokens      double precision NOT NULL,
    refilled_at timestamptz      NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE trunkline.rate_buckets IS
    'What each tenant may still publish over REST. Any row may be deleted at any time: a bucket that is not there is full.';
COMMENT ON COLUMN trunkline.rate_buckets.tenant_id IS 'Whose it is.';
COMMENT ON COLUMN trunkline.rate_buckets.tokens IS
    'Events it might publish at refilled_at; since then they grow at its rate, up to its burst. Below zero = a batch larger than the burst is owed.';
COMMENT ON COLUMN trunkline.rate_buckets.refilled_at IS 'When tokens was right, by the database''s clock.';
SELECT trunkline.hold_to_tenant('trunkline.rate_buckets');
