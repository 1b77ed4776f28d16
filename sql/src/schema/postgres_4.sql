-- Runs after the sessions were copied. It can be repeated.
CREATE INDEX IF NOT EXISTS bearer_known_devices_account ON bearer_known_devices (account) WHERE account IS NOT NULL;
-- Revoked sessions have no row. A process of an earlier version may have revoked them.
DELETE FROM bearer_sessions
    WHERE (issuer, session_id) IN (SELECT issuer, name FROM bearer_denials WHERE kind = 2);
