-- The change waits for a short time, as in version 3.
SET LOCAL lock_timeout = 2000;
-- The index of version 6 begins with the same columns.
DROP INDEX IF EXISTS bearer_private_tokens_owner;
