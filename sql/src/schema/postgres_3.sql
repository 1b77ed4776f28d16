-- New tables come first, and changes of old tables last: a change locks its table until the migration ends, and other
-- processes use these tables meanwhile.

-- Log-ins, as their owners see them.
CREATE TABLE bearer_sessions (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    issuer       BYTEA NOT NULL,
    session_id   BYTEA NOT NULL,
    subject      BYTEA NOT NULL,
    created_at   BIGINT NOT NULL,
    -- `iat` of the latest refresh token, and its `exp`.
    last_used_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    user_agent   TEXT COLLATE "C",
    dies_at      BIGINT NOT NULL,
    UNIQUE (issuer, session_id)
);
INSERT INTO bearer_sessions (issuer, session_id, subject, created_at, last_used_at, expires_at, dies_at)
    SELECT issuer, session_id, subject, MIN(issued_at), MAX(issued_at), MAX(expires_at), MAX(dies_at)
    FROM bearer_refresh_tokens AS token
    -- Sessions that were revoked.
    WHERE NOT EXISTS (
        SELECT 1 FROM bearer_denials AS entry
        WHERE entry.kind = 2 AND entry.issuer = token.issuer AND entry.name = token.session_id
    )
    GROUP BY issuer, session_id, subject;
CREATE INDEX bearer_sessions_owner ON bearer_sessions (issuer, subject, id);
CREATE INDEX bearer_sessions_expiry ON bearer_sessions (expires_at);

-- Who did what.
CREATE TABLE bearer_audit (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    issuer     BYTEA NOT NULL,
    at         BIGINT NOT NULL,
    event      TEXT COLLATE "C" NOT NULL,
    subject    BYTEA,
    address    TEXT COLLATE "C",
    -- A JSON object.
    details    TEXT COLLATE "C" NOT NULL,
    keep_until BIGINT NOT NULL
);
CREATE INDEX bearer_audit_newest ON bearer_audit (issuer, id);
CREATE INDEX bearer_audit_subject ON bearer_audit (issuer, subject, id);
CREATE INDEX bearer_audit_deleted ON bearer_audit (issuer, subject) WHERE event = 'account_deleted';
CREATE INDEX bearer_audit_end ON bearer_audit (keep_until);

-- The keys that have signed or may sign tokens of this database.
CREATE TABLE bearer_keys (
    issuer         BYTEA NOT NULL,
    thumbprint     TEXT COLLATE "C" NOT NULL,
    added_at       BIGINT NOT NULL,
    signs_from     BIGINT NOT NULL,
    -- When a newer key took over, or the key was retired.
    signs_until    BIGINT,
    -- Until when a token signed with the key can be valid.
    needed_until   BIGINT NOT NULL,
    is_compromised BIGINT NOT NULL,
    PRIMARY KEY (issuer, thumbprint)
);

ALTER TABLE bearer_schema ADD COLUMN major BIGINT NOT NULL DEFAULT 1;
ALTER TABLE bearer_accounts
    ADD COLUMN scopes TEXT COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN company_text TEXT COLLATE "C";
-- The account of the pair, as a keyed hash.
ALTER TABLE bearer_known_devices ADD COLUMN account BYTEA;
CREATE INDEX bearer_known_devices_account ON bearer_known_devices (account) WHERE account IS NOT NULL;
ALTER TABLE bearer_private_tokens ADD COLUMN scopes TEXT COLLATE "C" NOT NULL DEFAULT '';
-- `jti` of the access token that was issued together with the refresh token.
ALTER TABLE bearer_refresh_tokens ADD COLUMN access_id BYTEA;
