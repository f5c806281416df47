-- Whoever erases next goes on where the last one stopped: another worker, or a process that lives for one round.
CREATE TABLE trunkline.erasing_places (
    tenant_id     text NOT NULL,
    type          text NOT NULL,
    next_event_id uuid NOT NULL,
    open_event_id uuid,
    PRIMARY KEY (tenant_id, type)
);
COMMENT ON TABLE trunkline.erasing_places IS
    'How far the events of a tenant or type with a retention of its own have been looked at, to erase those that are past it.';
COMMENT ON COLUMN trunkline.erasing_places.tenant_id IS 'Whose retention it is.';
COMMENT ON COLUMN trunkline.erasing_places.type IS 'Of which type; empty = of all.';
COMMENT ON COLUMN trunkline.erasing_places.next_event_id IS 'Events below it were seen to.';
COMMENT ON COLUMN trunkline.erasing_places.open_event_id IS
    'The first of those that stayed, because a delivery of it had not come to its end: to be looked at again.';
