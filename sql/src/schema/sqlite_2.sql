-- What Redis has acknowledged, by the prefix of the fleet's keys.
CREATE TABLE bearer_fleets (
    name       TEXT PRIMARY KEY,
    generation TEXT NOT NULL,
    count      INTEGER NOT NULL,
    hash       BLOB NOT NULL,
    server     TEXT NOT NULL
);

-- Pairs of account and network from which somebody has logged in, as keyed hashes.
CREATE TABLE bearer_known_devices (
    id         BLOB PRIMARY KEY,
    keep_until INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX bearer_known_devices_end ON bearer_known_devices (keep_until);

-- Random keys that all replicas share.
CREATE TABLE bearer_secrets (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
);

CREATE INDEX bearer_refresh_tokens_owner_expiry ON bearer_refresh_tokens (issuer, subject, expires_at);
CREATE INDEX bearer_private_tokens_owner_expiry ON bearer_private_tokens (issuer, subject, expires_at);
CREATE INDEX bearer_refresh_tokens_session_expiry ON bearer_refresh_tokens (issuer, session_id, expires_at);
CREATE INDEX bearer_private_tokens_end ON bearer_private_tokens (dies_at) WHERE dies_at < 9223372036854775807;
