-- The RFC 7638 thumbprint of the key that the session or the token is bound to.
ALTER TABLE bearer_refresh_tokens ADD COLUMN key_thumbprint TEXT;
ALTER TABLE bearer_private_tokens ADD COLUMN key_thumbprint TEXT;
