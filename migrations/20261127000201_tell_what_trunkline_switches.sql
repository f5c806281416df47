-- Workers write down which endpoints they disabled; the right to comes with `trunkline migrate`, and a worker that finds this migration
-- knows that it has it.
COMMENT ON TABLE trunkline.audit IS
    'Who switched what: every action of an operator, every switch of a tenant, and every endpoint that Trunkline disabled by itself, in '
    'the transaction that did it. Rows are added, never changed, and removed after 400 days.';
COMMENT ON COLUMN trunkline.audit.actor IS
    'operator:<the first 12 hexadecimal digits of the SHA-256 of the operator''s key>, key:<id of a tenant''s API key>, login:<database '
    'login, of the command line>, anyone, where no key was asked for, or trunkline, where a worker followed a rule.';
COMMENT ON COLUMN trunkline.audit.target IS
    'What it was done to: an endpoint, key, replay, erasure, event or event type; the sealing key or the schema''s version that holds from '
    'then on; NULL = the tenant itself, or all of them.';
