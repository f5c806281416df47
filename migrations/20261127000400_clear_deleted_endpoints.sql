-- What a deleted endpoint left open is cancelled by workers, however much it is; this tells them when nothing is left to look for.
ALTER TABLE trunkline.endpoints ADD COLUMN cleared boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN trunkline.endpoints.cleared IS 'Deleted, and no delivery to it is open any more: nobody needs to look again.';
