-- The changes come last and wait for a short time, as in version 3.
SET LOCAL lock_timeout = 2000;
-- The RFC 7638 thumbprint of the key that the session or the token is bound to.
ALTER TABLE bearer_refresh_tokens ADD COLUMN key_thumbprint TEXT COLLATE "C";
ALTER TABLE bearer_private_tokens ADD COLUMN key_thumbprint TEXT COLLATE "C";
