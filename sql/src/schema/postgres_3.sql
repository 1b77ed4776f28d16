-- Log-ins, as their owners see them. `session_copy.rs` adds the earlier ones.
CREATE TABLE bearer_sessions (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    issuer       BYTEA NOT NULL,
    session_id   BYTEA NOT NULL,
    subject      BYTEA NOT NULL,
    created_at   BIGINT NOT NULL,
    -- `iat` of the latest refresh token.
    last_used_at BIGINT NOT NULL,
    -- The latest `exp` of its tokens. An access token lives for one hour.
    expires_at   BIGINT NOT NULL,
    user_agent   TEXT COLLATE "C",
    UNIQUE (issuer, session_id)
);
CREATE INDEX bearer_sessions_owner ON bearer_sessions (issuer, subject, last_used_at);
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
    -- When the key was retired.
    signs_until    BIGINT,
    -- Until when a token signed with the key can be valid. 0 if the key has not signed.
    needed_until   BIGINT NOT NULL,
    is_compromised BIGINT NOT NULL,
    PRIMARY KEY (issuer, thumbprint)
);

-- A change of an old table locks it until the migration ends. Other processes use these tables meanwhile:
-- 1. The changes come last, and none of them reads or writes rows.
-- 2. They are in the order in which a step of another process locks the same tables, so that no deadlock is possible.
-- 3. They wait for other sessions for a short time, because everything else waits behind them. If another session, such
--    as a backup, keeps its locks for longer, the migration fails and changes nothing. Then it is to be tried again.
SET LOCAL lock_timeout = 2000;
-- `access_id` is the `jti` of the access token that was issued together with the refresh token.
ALTER TABLE bearer_refresh_tokens ADD COLUMN access_id BYTEA;
ALTER TABLE bearer_private_tokens ADD COLUMN scopes TEXT COLLATE "C" NOT NULL DEFAULT '';
-- The account of the pair, as a keyed hash.
ALTER TABLE bearer_known_devices ADD COLUMN account BYTEA;
ALTER TABLE bearer_accounts
    ADD COLUMN scopes TEXT COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN company_text TEXT COLLATE "C";
ALTER TABLE bearer_schema ADD COLUMN major BIGINT NOT NULL DEFAULT 1;
