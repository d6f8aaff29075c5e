-- The audit: who changed what the service may do, and when. Each record holds the hash of the one before.
--
-- `at_us`: microseconds since 1970. `actor` and `details`: JSON of ours, hashed as it stands. `hash_key`: the sealing key that the hash's
-- key derives from; null where the settings listed none.
--
-- A program of schema 7 does not know the table: what it changes is not recorded.
CREATE TABLE audit_records (
    sequence INTEGER PRIMARY KEY CHECK (sequence > 0),
    at_us INTEGER NOT NULL,
    actor TEXT NOT NULL CHECK (length(actor) <= 1024 AND actor NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    action TEXT NOT NULL CHECK (action NOT GLOB '*[^a-z_.]*'),
    subject TEXT NOT NULL CHECK (length(subject) <= 100 AND subject NOT GLOB '*[^a-z0-9_.:-]*' AND subject NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    details TEXT NOT NULL CHECK (length(details) <= 65536 AND details NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    hash_key TEXT CHECK (length(hash_key) BETWEEN 1 AND 10 AND hash_key NOT GLOB '*[^a-z0-9-]*' AND hash_key NOT GLOB '-*'),
    previous_hash BLOB NOT NULL CHECK (length(previous_hash) = 32),
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TRIGGER audit_records_no_update BEFORE UPDATE ON audit_records BEGIN
    SELECT RAISE(ABORT, 'audit_records is append-only');
END;

CREATE TRIGGER audit_records_no_delete BEFORE DELETE ON audit_records BEGIN
    SELECT RAISE(ABORT, 'audit_records is append-only');
END;
