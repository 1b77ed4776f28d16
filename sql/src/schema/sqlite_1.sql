CREATE TABLE bearer_refresh_tokens (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    issuer     BLOB NOT NULL,
    token_id   BLOB NOT NULL,
    subject    BLOB NOT NULL,
    session_id BLOB NOT NULL,
    issued_at  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    hash       BLOB NOT NULL,
    used_at    INTEGER,
    successor  BLOB,
    dies_at    INTEGER NOT NULL,
    UNIQUE (issuer, token_id)
);
CREATE INDEX bearer_refresh_tokens_owner ON bearer_refresh_tokens (issuer, subject, issued_at);
CREATE INDEX bearer_refresh_tokens_session ON bearer_refresh_tokens (issuer, session_id);
CREATE INDEX bearer_refresh_tokens_expiry ON bearer_refresh_tokens (expires_at);

CREATE TABLE bearer_private_tokens (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    issuer       BLOB NOT NULL,
    token_id     BLOB NOT NULL,
    subject      BLOB NOT NULL,
    session_id   BLOB NOT NULL,
    name         TEXT NOT NULL,
    name_folded  TEXT NOT NULL,
    issued_at    INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    hash         BLOB NOT NULL,
    last_used_at INTEGER,
    dies_at      INTEGER NOT NULL,
    UNIQUE (issuer, token_id)
);
CREATE INDEX bearer_private_tokens_owner ON bearer_private_tokens (issuer, subject, issued_at);
CREATE INDEX bearer_private_tokens_session ON bearer_private_tokens (issuer, session_id);
CREATE INDEX bearer_private_tokens_expiry ON bearer_private_tokens (expires_at);

CREATE TABLE bearer_denials (
    id         BLOB PRIMARY KEY,
    kind       INTEGER NOT NULL,
    issuer     BLOB NOT NULL,
    name       BLOB NOT NULL,
    starts_at  INTEGER NOT NULL,
    cut_off    INTEGER NOT NULL,
    keep_until INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX bearer_denials_end ON bearer_denials (keep_until);

CREATE TABLE bearer_outbox (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       INTEGER NOT NULL,
    issuer     BLOB NOT NULL,
    name       BLOB NOT NULL,
    starts_at  INTEGER NOT NULL,
    cut_off    INTEGER NOT NULL,
    keep_until INTEGER NOT NULL
);
CREATE INDEX bearer_outbox_end ON bearer_outbox (keep_until);

CREATE TABLE bearer_accounts (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    subject       TEXT NOT NULL UNIQUE,
    email_key     TEXT NOT NULL UNIQUE,
    email         TEXT NOT NULL,
    username      TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    company_id    INTEGER,
    is_active     INTEGER NOT NULL,
    is_verified   INTEGER NOT NULL,
    profile       TEXT NOT NULL
);
