-- The audit: who changed what the service may do, and when. Each record holds the hash of the one before.
--
-- `at_us`: microseconds since 1970. `actor` and `details`: JSON of ours, hashed as it stands. `hash_key`: the sealing key that the hash's
-- key derives from; null where the settings listed none.
--
-- A program of schema 7 does not know the table: what it changes is not recorded.
CREATE TABLE audit_records (
    sequence BIGINT PRIMARY KEY CHECK (sequence > 0),
    at_us BIGINT NOT NULL,
    actor TEXT NOT NULL CHECK (length(actor) <= 1024 AND actor !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    action TEXT NOT NULL CHECK (action !~ '[^a-z_.]'),
    subject TEXT NOT NULL CHECK (length(subject) <= 100 AND subject !~ '[^a-z0-9_.:-]' AND subject !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    details TEXT NOT NULL CHECK (length(details) <= 65536 AND details !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    hash_key TEXT CHECK (hash_key ~ '^[a-z0-9][a-z0-9-]{0,9}$'),
    previous_hash BYTEA NOT NULL CHECK (length(previous_hash) = 32),
    hash BYTEA NOT NULL CHECK (length(hash) = 32)
);

CREATE TRIGGER audit_records_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_records
    FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- The owner's defaults have granted the role that serves the right to change and delete, with the table.
DO $$
DECLARE
    grantee TEXT;
BEGIN
    FOR grantee IN
        SELECT DISTINCT CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END
        FROM pg_class c, aclexplode(c.relacl) g
        WHERE c.oid = 'audit_records'::regclass AND g.grantee <> c.relowner
    LOOP
        EXECUTE 'REVOKE UPDATE, DELETE, TRUNCATE ON audit_records FROM ' || grantee;
    END LOOP;
END
$$;
