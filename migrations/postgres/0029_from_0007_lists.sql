-- What lists are read by: each filter that a list offers is a part of an index of it, so that a page costs the same however many rows there
-- are, and however few of them fit.
--
-- `rewards_listed`: a page takes the newest of each account, kind and state of the client. It stands in for `rewards_of_client`, by which only
-- programs of older schemas list: a later migration takes that away. The others are of rewards with a program, and of tables that few rows are
-- written to.
--
-- Facts with a name are those without a timeline, and the other way round. PostgreSQL sees no index for the one condition in the other: so
-- for a kind it neither walks through `facts_named` nor through all that a subject has.
--
-- A program of schema 7 fills them.
-- Those that an operator has built beforehand are found. Whoever writes waits while the others are built.

-- All tables or none, and never for longer than a deadlock takes to be noticed: a transaction of a running program that holds one of them and
-- waits for another must come to its end, not to an error.
DO $$
DECLARE
    patience CONSTANT TEXT := current_setting('lock_timeout');
BEGIN
    PERFORM set_config('lock_timeout', '200ms', true);
    FOR attempt IN 1..20 LOOP
        BEGIN
            LOCK TABLE rewards, facts, reconciliations, reconciliation_items, audit_records IN SHARE MODE;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            IF attempt = 20 THEN RAISE; END IF;
            PERFORM pg_sleep(0.05);
        END;
    END LOOP;
    PERFORM set_config('lock_timeout', patience, true);
END
$$;

-- One that was begun beforehand and failed has the name, and nobody reads by it.
DO $$
DECLARE
    failed TEXT;
BEGIN
    SELECT string_agg(indexrelid::regclass::text, ', ') INTO failed FROM pg_index
    WHERE NOT indisvalid
        AND indrelid IN ('rewards'::regclass, 'facts'::regclass, 'reconciliations'::regclass, 'reconciliation_items'::regclass, 'audit_records'::regclass);
    IF failed IS NOT NULL THEN
        RAISE EXCEPTION 'left invalid by a CREATE INDEX CONCURRENTLY that failed: %. DROP INDEX CONCURRENTLY, and migrate again', failed;
    END IF;
END
$$;

CREATE INDEX IF NOT EXISTS rewards_listed ON rewards (client_id, account, kind, state, id);

CREATE INDEX IF NOT EXISTS rewards_of_program ON rewards (client_id, program_id, account, kind, state, id) WHERE program_id IS NOT NULL;

CREATE INDEX IF NOT EXISTS facts_of_kind ON facts (kind, id) WHERE subject IS NOT NULL;

CREATE INDEX IF NOT EXISTS facts_of_subject ON facts (subject_kind, subject, id) WHERE subject_id IS NULL;

CREATE INDEX IF NOT EXISTS facts_of_subject_and_kind ON facts (subject_kind, subject, kind, id) WHERE subject IS NOT NULL;

CREATE INDEX IF NOT EXISTS reconciliations_of_account ON reconciliations (account, id);

CREATE INDEX IF NOT EXISTS reconciliation_items_of_reward ON reconciliation_items (reward_id) WHERE reward_id IS NOT NULL;

CREATE INDEX IF NOT EXISTS audit_records_of_action ON audit_records (action, sequence);
