-- The index of version 6 begins with the same columns.
DROP INDEX IF EXISTS bearer_private_tokens_owner;
