-- Values of custom headers are sealed from now on, as signing secrets are. Those that are there stay readable;
-- `trunkline secrets reencrypt` seals them too. A release before this sends a sealed value as it stands, so roll the workers
-- out before tenants save headers through a new api.

COMMENT ON COLUMN trunkline.endpoints.custom_headers IS 'Sent with every attempt: an object of names and values. A value is sealed:KEY_ID:BASE64 (XChaCha20-Poly1305 under a key of the setting secrets.keys; tenant, endpoint and name are associated data), or plain where it was written by hand. Empty once the endpoint is deleted.';
COMMENT ON COLUMN trunkline.api_keys.last_used_at IS 'When it was last seen; written down at most once a minute.';

-- Credentials of endpoints that are gone.
UPDATE trunkline.endpoints AS e
SET custom_headers = (SELECT coalesce(jsonb_object_agg(name, ''), '{}') FROM jsonb_object_keys(e.custom_headers) AS name)
WHERE deleted_at IS NOT NULL AND custom_headers <> '{}';
