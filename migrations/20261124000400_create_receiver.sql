-- The reference consumer: its switch, and what it has seen.

CREATE TABLE trunkline.receptions (
    scope      text        PRIMARY KEY CHECK (scope = '*' OR scope ~ '^[a-z0-9-]{3,50}$'),
    enabled    boolean     NOT NULL,
    updated_at timestamptz NOT NULL
);
COMMENT ON TABLE trunkline.receptions IS
    'The receiver''s on/off switches. A tenant''s webhooks are accepted if its own switch and the one of all (*) are on.';
COMMENT ON COLUMN trunkline.receptions.scope IS 'A tenant_id, or * for all tenants. A tenant without a row is on.';
COMMENT ON COLUMN trunkline.receptions.enabled IS 'false: the receiver answers 503.';
COMMENT ON COLUMN trunkline.receptions.updated_at IS 'When it was last switched.';
INSERT INTO trunkline.receptions (scope, enabled, updated_at) VALUES ('*', true, now());

CREATE TABLE trunkline.receipts (
    tenant_id   text        NOT NULL,
    path        text        NOT NULL CHECK (length(path) <= 200),
    webhook_id  text        NOT NULL CHECK (length(webhook_id) BETWEEN 1 AND 256),
    type        text        CHECK (length(type) <= 128),
    received_at timestamptz NOT NULL,
    duplicates  integer     NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, path, webhook_id)
);
CREATE INDEX receipts_tenant_received_at ON trunkline.receipts (tenant_id, received_at DESC);
CREATE INDEX receipts_received_at ON trunkline.receipts (received_at);
COMMENT ON TABLE trunkline.receipts IS 'The webhooks the receiver accepted: each webhook id once per path, however often it came.';
COMMENT ON COLUMN trunkline.receipts.tenant_id IS 'To whom it was addressed.';
COMMENT ON COLUMN trunkline.receipts.path IS 'The name after /webhook/, empty for /webhook itself.';
COMMENT ON COLUMN trunkline.receipts.webhook_id IS 'What names the fact: the webhook-id header, or a hash of the signed content where there is none.';
COMMENT ON COLUMN trunkline.receipts.type IS 'The trunkline-event-type header.';
COMMENT ON COLUMN trunkline.receipts.received_at IS 'When it first arrived.';
COMMENT ON COLUMN trunkline.receipts.duplicates IS 'How often it came again.';
