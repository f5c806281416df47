CREATE TABLE trunkline.restore_holds (
    tenant_id   text        NOT NULL,
    endpoint_id uuid        NOT NULL,
    held_at     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, endpoint_id),
    FOREIGN KEY (tenant_id, endpoint_id) REFERENCES trunkline.endpoints (tenant_id, endpoint_id)
);
COMMENT ON TABLE trunkline.restore_holds IS
    'Endpoints that `trunkline restore hold` paused after the database was restored to an earlier moment, until `trunkline restore release`.';
COMMENT ON COLUMN trunkline.restore_holds.tenant_id IS 'Whose it is.';
COMMENT ON COLUMN trunkline.restore_holds.endpoint_id IS 'Which one: it was not paused by hand before.';
COMMENT ON COLUMN trunkline.restore_holds.held_at IS 'When it was paused.';

DO $$
BEGIN
    IF to_regprocedure('trunkline.hold_to_tenant(regclass, name)') IS NOT NULL THEN
        EXECUTE 'SELECT trunkline.hold_to_tenant(''trunkline.restore_holds'')';
    END IF;
END
$$;
