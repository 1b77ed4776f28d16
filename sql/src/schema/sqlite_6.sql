-- The list of an owner's tokens reads rows of the table only for the tokens of its page, and their count reads none.
CREATE INDEX IF NOT EXISTS bearer_private_tokens_listed
    ON bearer_private_tokens (issuer, subject, issued_at, dies_at, expires_at);
