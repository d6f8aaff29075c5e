-- What came to an account and what a person corrected, by time: a month's statement begins with the sum of all of it that is older. What was
-- bought and given back is in `hourly_spending`, and in `ledger_entries_moved`.
--
-- A program of schema 7 fills the index and does not use it.
-- One that an operator has built beforehand is found. Whoever writes to the ledger waits while it is built.

-- One that was begun beforehand and failed has the name, and nobody reads by it.
DO $$
DECLARE
    failed TEXT;
BEGIN
    SELECT string_agg(indexrelid::regclass::text, ', ') INTO failed FROM pg_index
    WHERE NOT indisvalid AND indrelid = 'ledger_entries'::regclass;
    IF failed IS NOT NULL THEN
        RAISE EXCEPTION 'left invalid by a CREATE INDEX CONCURRENTLY that failed: %. DROP INDEX CONCURRENTLY, and migrate again', failed;
    END IF;
END
$$;

CREATE INDEX IF NOT EXISTS ledger_entries_funded ON ledger_entries (account, currency, at) WHERE kind IN ('opening', 'deposit', 'adjustment');
