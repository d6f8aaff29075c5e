-- Who reads a feed goes on from the last id that was shown. Ids are given before a transaction commits, so a later one may be
-- seen first, and whoever went on from it would never see the earlier one. So no row is shown while a smaller id can still be
-- committed: before a transaction takes its first id it takes a shared advisory lock whose key holds the last id that was
-- taken. The lock ends with the transaction, after its rows can be seen. A reader shows ids up to the smallest such key.
--
-- A transaction that does not write to a feed holds nothing back, however long it lasts: no back-up, no report, no other database.
-- Programs since schema 7 take the lock without knowing of it.

-- The upper 16 bits of a key say which feed (the first argument), the lower 48 the id.
CREATE FUNCTION hold_feed_back() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    held CONSTANT TEXT := 'noshi.holds_' || TG_TABLE_NAME;
    sequence CONSTANT TEXT := pg_get_serial_sequence(format('%I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME), 'id');
BEGIN
    -- Once in a transaction: one lock holds back all that it will write.
    IF current_setting(held, true) IS DISTINCT FROM 'yes' THEN
        PERFORM pg_advisory_xact_lock_shared((TG_ARGV[0]::BIGINT << 48) | COALESCE(pg_sequence_last_value(sequence::REGCLASS), 0));
        PERFORM set_config(held, 'yes', true);
    END IF;
    RETURN NULL;
END
$$;

-- Both tables or neither, and never for longer than a deadlock takes to be noticed: a transaction of a running program that
-- holds one of them and waits for the other must come to its end, not to an error.
DO $$
DECLARE
    patience CONSTANT TEXT := current_setting('lock_timeout');
BEGIN
    PERFORM set_config('lock_timeout', '200ms', true);
    FOR attempt IN 1..20 LOOP
        BEGIN
            LOCK TABLE facts, ledger_entries IN SHARE ROW EXCLUSIVE MODE;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            IF attempt = 20 THEN RAISE; END IF;
            PERFORM pg_sleep(0.05);
        END;
    END LOOP;
    PERFORM set_config('lock_timeout', patience, true);
END
$$;

-- Before the statement: a row's default, which takes the id, comes before a trigger for the row.
CREATE TRIGGER facts_hold_back BEFORE INSERT ON facts FOR EACH STATEMENT EXECUTE FUNCTION hold_feed_back('28262');

CREATE TRIGGER ledger_entries_hold_back BEFORE INSERT ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION hold_feed_back('28268');
