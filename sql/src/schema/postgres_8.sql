-- For processes that follow the revocations. A trigger writes the column, so that rows of processes of an earlier
-- version have it too. It is NULL for the rows of before, which are read with the snapshot.
--
-- Numbers of a sequence are not in the order of commits. The id of a transaction is not either, but a snapshot of
-- PostgreSQL has the lowest id that is still in progress. No row that is committed later has a lower id.
CREATE FUNCTION bearer_denial_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed := pg_catalog.pg_current_xact_id();
    RETURN NEW;
END $$;
CREATE FUNCTION bearer_denials_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY bearer_denials;
    RETURN NULL;
END $$;

-- The changes come last and wait for a short time, as in version 3.
SET LOCAL lock_timeout = 2000;
ALTER TABLE bearer_denials ADD COLUMN changed xid8;
CREATE INDEX bearer_denials_changed ON bearer_denials (changed, id) WHERE changed IS NOT NULL;
CREATE TRIGGER bearer_denials_changed BEFORE INSERT OR UPDATE ON bearer_denials
    FOR EACH ROW EXECUTE FUNCTION bearer_denial_changed();
CREATE TRIGGER bearer_denials_notify AFTER INSERT OR UPDATE ON bearer_denials
    FOR EACH STATEMENT EXECUTE FUNCTION bearer_denials_notify();
