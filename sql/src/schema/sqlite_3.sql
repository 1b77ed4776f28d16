-- Log-ins, as their owners see them.
CREATE TABLE bearer_sessions (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    issuer       BLOB NOT NULL,
    session_id   BLOB NOT NULL,
    subject      BLOB NOT NULL,
    created_at   INTEGER NOT NULL,
    -- `iat` of the latest refresh token, and its `exp`.
    last_used_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    user_agent   TEXT,
    dies_at      INTEGER NOT NULL,
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
    -- When a newer key took over, or the key was retired.
    signs_until    INTEGER,
    -- Until when a token signed with the key can be valid.
    needed_until   INTEGER NOT NULL,
    is_compromised INTEGER NOT NULL,
    PRIMARY KEY (issuer, thumbprint)
) WITHOUT ROWID;

ALTER TABLE bearer_schema ADD COLUMN major INTEGER NOT NULL DEFAULT 1;
ALTER TABLE bearer_accounts ADD COLUMN scopes TEXT NOT NULL DEFAULT '';
ALTER TABLE bearer_accounts ADD COLUMN company_text TEXT;
-- The account of the pair, as a keyed hash.
ALTER TABLE bearer_known_devices ADD COLUMN account BLOB;
CREATE INDEX bearer_known_devices_account ON bearer_known_devices (account) WHERE account IS NOT NULL;
ALTER TABLE bearer_private_tokens ADD COLUMN scopes TEXT NOT NULL DEFAULT '';
-- `jti` of the access token that was issued together with the refresh token.
ALTER TABLE bearer_refresh_tokens ADD COLUMN access_id BLOB;
