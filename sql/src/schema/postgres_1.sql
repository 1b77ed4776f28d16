CREATE TABLE bearer_refresh_tokens (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    issuer     BYTEA NOT NULL,
    token_id   BYTEA NOT NULL,
    subject    BYTEA NOT NULL,
    session_id BYTEA NOT NULL,
    issued_at  BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    hash       BYTEA NOT NULL,
    used_at    BIGINT,
    successor  BYTEA,
    dies_at    BIGINT NOT NULL,
    UNIQUE (issuer, token_id)
);
CREATE INDEX bearer_refresh_tokens_owner ON bearer_refresh_tokens (issuer, subject, issued_at);
CREATE INDEX bearer_refresh_tokens_session ON bearer_refresh_tokens (issuer, session_id);
CREATE INDEX bearer_refresh_tokens_expiry ON bearer_refresh_tokens (expires_at);

CREATE TABLE bearer_private_tokens (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    issuer       BYTEA NOT NULL,
    token_id     BYTEA NOT NULL,
    subject      BYTEA NOT NULL,
    session_id   BYTEA NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    name_folded  TEXT COLLATE "C" NOT NULL,
    issued_at    BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    hash         BYTEA NOT NULL,
    last_used_at BIGINT,
    dies_at      BIGINT NOT NULL,
    UNIQUE (issuer, token_id)
);
CREATE INDEX bearer_private_tokens_owner ON bearer_private_tokens (issuer, subject, issued_at);
CREATE INDEX bearer_private_tokens_session ON bearer_private_tokens (issuer, session_id);
CREATE INDEX bearer_private_tokens_expiry ON bearer_private_tokens (expires_at);

CREATE TABLE bearer_denials (
    id         BYTEA PRIMARY KEY,
    kind       BIGINT NOT NULL,
    issuer     BYTEA NOT NULL,
    name       BYTEA NOT NULL,
    starts_at  BIGINT NOT NULL,
    cut_off    BIGINT NOT NULL,
    keep_until BIGINT NOT NULL
);
CREATE INDEX bearer_denials_end ON bearer_denials (keep_until);

CREATE TABLE bearer_outbox (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       BIGINT NOT NULL,
    issuer     BYTEA NOT NULL,
    name       BYTEA NOT NULL,
    starts_at  BIGINT NOT NULL,
    cut_off    BIGINT NOT NULL,
    keep_until BIGINT NOT NULL
);
CREATE INDEX bearer_outbox_end ON bearer_outbox (keep_until);

CREATE TABLE bearer_accounts (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject       TEXT COLLATE "C" NOT NULL UNIQUE,
    email_key     TEXT COLLATE "C" NOT NULL UNIQUE,
    email         TEXT COLLATE "C" NOT NULL,
    username      TEXT COLLATE "C" NOT NULL,
    password_hash TEXT COLLATE "C" NOT NULL,
    company_id    BIGINT,
    is_active     BIGINT NOT NULL,
    is_verified   BIGINT NOT NULL,
    profile       TEXT COLLATE "C" NOT NULL
);
