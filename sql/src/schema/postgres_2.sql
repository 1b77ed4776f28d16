-- What Redis has acknowledged, by the prefix of the fleet's keys.
CREATE TABLE bearer_fleets (
    name       TEXT COLLATE "C" PRIMARY KEY,
    generation TEXT COLLATE "C" NOT NULL,
    count      BIGINT NOT NULL,
    hash       BYTEA NOT NULL,
    server     TEXT COLLATE "C" NOT NULL
);

-- Pairs of account and network from which somebody has logged in, as keyed hashes.
CREATE TABLE bearer_known_devices (
    id         BYTEA PRIMARY KEY,
    keep_until BIGINT NOT NULL
);
CREATE INDEX bearer_known_devices_end ON bearer_known_devices (keep_until);

-- Random keys that all replicas share.
CREATE TABLE bearer_secrets (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value BYTEA NOT NULL
);

CREATE INDEX bearer_refresh_tokens_owner_expiry ON bearer_refresh_tokens (issuer, subject, expires_at);
CREATE INDEX bearer_private_tokens_owner_expiry ON bearer_private_tokens (issuer, subject, expires_at);
CREATE INDEX bearer_refresh_tokens_session_expiry ON bearer_refresh_tokens (issuer, session_id, expires_at);
CREATE INDEX bearer_private_tokens_end ON bearer_private_tokens (dies_at) WHERE dies_at < 9223372036854775807;
