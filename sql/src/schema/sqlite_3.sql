-- Log-ins, as their owners see them. `session_copy.rs` adds the earlier ones.
CREATE TABLE bearer_sessions (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    issuer       BLOB NOT NULL,
    session_id   BLOB NOT NULL,
    subject      BLOB NOT NULL,
    created_at   INTEGER NOT NULL,
    -- `iat` of the latest refresh token.
    last_used_at INTEGER NOT NULL,
    -- The latest `exp` of its tokens. An access token lives for one hour.
    expires_at   INTEGER NOT NULL,
    user_agent   TEXT,
    UNIQUE (issuer, session_id)
);
CREATE INDEX bearer_sessions_owner ON bearer_sessions (issuer, subject, last_used_at);
CREATE INDEX bearer_sessions_expiry ON bearer_sessions (expires_at);

-- Who did what.
CREATE TABLE bearer_audit (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    issuer     BLOB NOT NULL,
    at         INTEGER NOT NULL,
    event      TEXT NOT NULL,
    subject    BLOB,
    address    TEXT,
    -- A JSON object.
    details    TEXT NOT NULL,
    keep_until INTEGER NOT NULL
);
CREATE INDEX bearer_audit_newest ON bearer_audit (issuer, id);
CREATE INDEX bearer_audit_subject ON bearer_audit (issuer, subject, id);
CREATE INDEX bearer_audit_deleted ON bearer_audit (issuer, subject) WHERE event = 'account_deleted';
CREATE INDEX bearer_audit_end ON bearer_audit (keep_until);

-- The keys that have signed or may sign tokens of this database.
CREATE TABLE bearer_keys (
    issuer         BLOB NOT NULL,
    thumbprint     TEXT NOT NULL,
    added_at       INTEGER NOT NULL,
    signs_from     INTEGER NOT NULL,
    -- When the key was retired.
    signs_until    INTEGER,
    -- Until when a token signed with the key can be valid. 0 if the key has not signed.
    needed_until   INTEGER NOT NULL,
    is_compromised INTEGER NOT NULL,
    PRIMARY KEY (issuer, thumbprint)
) WITHOUT ROWID;

-- `access_id` is the `jti` of the access token that was issued together with the refresh token.
ALTER TABLE bearer_refresh_tokens ADD COLUMN access_id BLOB;
ALTER TABLE bearer_private_tokens ADD COLUMN scopes TEXT NOT NULL DEFAULT '';
-- The account of the pair, as a keyed hash.
ALTER TABLE bearer_known_devices ADD COLUMN account BLOB;
ALTER TABLE bearer_accounts ADD COLUMN scopes TEXT NOT NULL DEFAULT '';
ALTER TABLE bearer_accounts ADD COLUMN company_text TEXT;
ALTER TABLE bearer_schema ADD COLUMN major INTEGER NOT NULL DEFAULT 1;
