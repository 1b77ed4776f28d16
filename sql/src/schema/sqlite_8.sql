-- For processes that follow the revocations. SQLite has one writer, so the count is in the order of commits. Triggers
-- write it, so that rows of processes of an earlier version have it too. It is NULL for the rows of before, which are
-- read with the snapshot.
CREATE TABLE bearer_denial_changes (
    count   INTEGER NOT NULL,
    -- A random text. Another database has another one.
    history TEXT NOT NULL
);
INSERT INTO bearer_denial_changes (count, history) VALUES (0, lower(hex(randomblob(16))));
ALTER TABLE bearer_denials ADD COLUMN changed INTEGER;
CREATE INDEX bearer_denials_changed ON bearer_denials (changed, id) WHERE changed IS NOT NULL;
CREATE TRIGGER bearer_denials_inserted AFTER INSERT ON bearer_denials BEGIN
    UPDATE bearer_denial_changes SET count = count + 1;
    UPDATE bearer_denials SET changed = (SELECT count FROM bearer_denial_changes) WHERE id = NEW.id;
END;
CREATE TRIGGER bearer_denials_updated AFTER UPDATE OF starts_at, cut_off, keep_until ON bearer_denials BEGIN
    UPDATE bearer_denial_changes SET count = count + 1;
    UPDATE bearer_denials SET changed = (SELECT count FROM bearer_denial_changes) WHERE id = NEW.id;
END;
