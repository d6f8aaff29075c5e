-- Kinds: the schema no longer lists them, so that a new one needs no change here; whether a refused reward may be tried
-- again is a column, for a kind decides it; and what a kind acts on is kept sealed until its outcome is final.

-- Whatever the checks on the kind are called.
DO $$
DECLARE
    name TEXT;
BEGIN
    FOR name IN
        SELECT conname FROM pg_constraint
        WHERE conrelid = 'rewards'::regclass AND contype = 'c' AND conkey = ARRAY[
            (SELECT attnum FROM pg_attribute WHERE attrelid = 'rewards'::regclass AND attname = 'kind')
        ]
    LOOP
        EXECUTE format('ALTER TABLE rewards DROP CONSTRAINT %I', name);
    END LOOP;
END
$$;

-- `retryable`: whether a failed reward may be tried again; `retryable_version`: the row's version that this was written
-- with. A program of schema 7 writes neither: once it has changed the row the version is another, and its own rule holds
-- (failed, and not by F200).
--
-- `target_sealed`: what the reward acts on, where its kind acts on something (a format byte, the nonce, the text, the
-- tag); `target_key`: the id of the key that opens it. No id is as long as a claim code. Both go when the outcome is final.
-- `target_fingerprint` (the key's mark, a keyed hash) stays: it says whether a request that comes again is the same.
--
-- Checks that are NOT VALID hold for every row that is written from now on. What is there needs no look, which would hold
-- everyone up for as long as it takes: the old check on the kind was the narrower, and the new columns are null.
ALTER TABLE rewards
    ADD COLUMN retryable BOOLEAN,
    ADD COLUMN retryable_version BIGINT,
    ADD COLUMN target_sealed BYTEA,
    ADD COLUMN target_fingerprint BYTEA,
    ADD COLUMN target_key TEXT,
    ADD CONSTRAINT rewards_kind_check CHECK (kind ~ '^[a-z][a-z_]{0,31}$') NOT VALID,
    ADD CONSTRAINT rewards_target_sealed_check CHECK (length(target_sealed) BETWEEN 30 AND 512 AND get_byte(target_sealed, 0) = 1) NOT VALID,
    ADD CONSTRAINT rewards_target_fingerprint_check CHECK (length(target_fingerprint) = 32) NOT VALID,
    ADD CONSTRAINT rewards_target_key_check CHECK (target_key ~ '^[a-z0-9][a-z0-9-]{0,9}$') NOT VALID,
    ADD CONSTRAINT rewards_target_check CHECK ((target_key IS NULL) = (target_sealed IS NULL) AND (target_sealed IS NULL OR target_fingerprint IS NOT NULL)) NOT VALID;
