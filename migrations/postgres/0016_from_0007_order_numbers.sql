-- Order numbers: text like SHOP-202611-0001 has the shape of a claim code, and is none. What stands behind its first group
-- is digits alone, as in three codes of a million. Columns of a caller's own words no longer refuse it. Every row that the
-- old words allowed, the new ones allow, and a program of schema 7 writes no such text by itself.

-- All tables or none, and never for longer than a deadlock takes to be noticed: a transaction of a running program that holds
-- one of them and waits for another must come to its end, not to an error.
DO $$
DECLARE
    patience CONSTANT TEXT := current_setting('lock_timeout');
BEGIN
    PERFORM set_config('lock_timeout', '200ms', true);
    FOR attempt IN 1..20 LOOP
        BEGIN
            LOCK TABLE rewards, facts, ledger_entries IN ACCESS EXCLUSIVE MODE;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            IF attempt = 20 THEN RAISE; END IF;
            PERFORM pg_sleep(0.05);
        END;
    END LOOP;
    PERFORM set_config('lock_timeout', patience, true);
END
$$;

-- Whatever the checks on these columns are called.
DO $$
DECLARE
    old RECORD;
BEGIN
    FOR old IN
        SELECT conrelid::regclass AS of, conname
        FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND conkey = ARRAY[attnum]
        WHERE contype = 'c' AND (
            conrelid = 'rewards'::regclass AND attname IN ('external_id', 'metadata')
            OR conrelid = 'facts'::regclass AND attname = 'data'
            OR conrelid = 'ledger_entries'::regclass AND attname = 'note'
        )
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', old.of, old.conname);
    END LOOP;
END
$$;

-- NOT VALID: what is there needs no look, which would hold everyone up. The old checks were the narrower.
ALTER TABLE rewards
    ADD CONSTRAINT rewards_external_id_check CHECK (length(external_id) <= 128 AND external_id !~ '[0-9A-Za-z]{4}-(?![0-9]{6}-[0-9]{4})[0-9A-Za-z]{6}-[0-9A-Za-z]{4}') NOT VALID,
    ADD CONSTRAINT rewards_metadata_check CHECK (length(metadata) <= 2048 AND metadata !~ '[0-9A-Za-z]{4}-(?![0-9]{6}-[0-9]{4})[0-9A-Za-z]{6}-[0-9A-Za-z]{4}') NOT VALID;

ALTER TABLE facts
    ADD CONSTRAINT facts_data_check CHECK (length(data) <= 1024 AND data !~ '[0-9A-Za-z]{4}-(?![0-9]{6}-[0-9]{4})[0-9A-Za-z]{6}-[0-9A-Za-z]{4}') NOT VALID;

ALTER TABLE ledger_entries
    ADD CONSTRAINT ledger_entries_note_check CHECK (length(note) <= 200 AND note !~ '[0-9A-Za-z]{4}-(?![0-9]{6}-[0-9]{4})[0-9A-Za-z]{6}-[0-9A-Za-z]{4}') NOT VALID;
