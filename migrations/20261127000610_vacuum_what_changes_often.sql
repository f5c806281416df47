-- A row for each key and each arrival, gone after a day or a week: at the server's own setting a fifth of a large table would be dead
-- before anything is cleared away. As for the partitions of deliveries.
ALTER TABLE trunkline.idempotency_keys SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE trunkline.ordering_keys SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE trunkline.receipts SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
