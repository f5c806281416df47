-- What the owners of lanes need to know of each other.

ALTER TABLE trunkline.workers ADD COLUMN has_session boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN trunkline.workers.has_session IS
    'It holds a session lock of its own for as long as it lives: once the lock is free, it is dead and its lanes are taken '
    'over at once. false: only the end of its leases tells.';
COMMENT ON COLUMN trunkline.deliveries.lease IS
    'Token of the claim that is attempting it now: the upper 32 bits name the worker (the first 32 of workers.worker_id), the '
    'lower are random. An outcome is written only where it still stands.';
