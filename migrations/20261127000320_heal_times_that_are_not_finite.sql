-- trunkline.publish took deliver_at => '-infinity', which no program reads. It meant now. Reads each event once, and keeps nobody
-- waiting: it locks only rows that it changes, which nobody else changes.

UPDATE trunkline.events
SET deliver_at = NULL
WHERE deliver_at = '-infinity';
