-- Retention: what leaves of a reward that is settled and old. Its row stays for ever and is emptied: a key is never new twice, and a program
-- of an older schema looks for keys in `rewards` alone. A table of tombstones would make it buy a second card.
--
-- `archived_at`: when the reward was archived: its timeline has been deleted, and what its row had no more use for is empty. `metadata_digest`: of
-- the metadata that was there, behind the intent, so that a request that comes again is still compared. Null: there was none, or it is there.
-- A program of schema 7 leaves both as they are. To it an archived reward has no metadata: it refuses a request that comes again with some,
-- as another one, and buys nothing.
--
-- `retention`: one row. Rewards up to `through` have been looked at, in the order of their ids; `archived`: how many were archived. Whoever
-- holds the lease goes on. `retention_waiting`: the rewards among them that were not settled then, or were changed of late.

-- Both tables or neither, and never for longer than a deadlock takes to be noticed: a transaction of a running program that holds one of
-- them and waits for the other must come to its end, not to an error.
DO $$
DECLARE
    patience CONSTANT TEXT := current_setting('lock_timeout');
BEGIN
    PERFORM set_config('lock_timeout', '200ms', true);
    FOR attempt IN 1..20 LOOP
        BEGIN
            LOCK TABLE rewards, facts IN ACCESS EXCLUSIVE MODE;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            IF attempt = 20 THEN RAISE; END IF;
            PERFORM pg_sleep(0.05);
        END;
    END LOOP;
    PERFORM set_config('lock_timeout', patience, true);
END
$$;

ALTER TABLE rewards
    ADD COLUMN archived_at TIMESTAMPTZ,
    ADD COLUMN metadata_digest BYTEA;

CREATE TABLE retention (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    through UUID CHECK (substr(through::text, 20, 1) IN ('8', '9', 'a', 'b')),
    archived BIGINT NOT NULL,
    lease_token UUID CHECK (substr(lease_token::text, 20, 1) IN ('8', '9', 'a', 'b')),
    lease_until TIMESTAMPTZ
);
INSERT INTO retention (id, archived) VALUES (1, 0);

CREATE TABLE retention_waiting (
    reward_id UUID NOT NULL PRIMARY KEY CHECK (substr(reward_id::text, 20, 1) IN ('8', '9', 'a', 'b'))
);

-- As in 0030, and `metadata_digest`.
CREATE OR REPLACE FUNCTION reward_state_has_shape() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    refused CONSTANT TEXT := CASE
        WHEN NEW.state NOT IN ('pending', 'issuing', 'unresolved', 'issued', 'failed', 'canceling', 'canceled', 'needs_attention') THEN 'state'
        WHEN NEW.booked NOT IN ('none', 'reserved', 'issued') THEN 'booked'
        WHEN NEW.refusals NOT BETWEEN 0 AND 255 THEN 'refusals'
        WHEN substr(NEW.lease_token::text, 20, 1) NOT IN ('8', '9', 'a', 'b') THEN 'lease_token'
        WHEN NEW.cancel_failure ~ '[^a-z0-9_.:-]' OR NEW.cancel_failure ~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}' THEN 'cancel_failure'
        WHEN NEW.attention ~ '[^a-z0-9_.:-]' OR NEW.attention ~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}' THEN 'attention'
        WHEN NEW.error_code NOT IN ('F100', 'F200', 'F300', 'F400', 'F500') AND NEW.error_code ~ '[^a-z_]' THEN 'error_code'
        WHEN NEW.error_type !~ '^[A-Z][a-z][A-Za-z]*$' THEN 'error_type'
        WHEN NEW.budget_key !~ '^key_[0-9a-f]{32}$' THEN 'budget_key'
        WHEN NEW.budget_day !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$' THEN 'budget_day'
        WHEN length(NEW.card_fingerprint) <> 32 THEN 'card_fingerprint'
        WHEN length(NEW.metadata_digest) <> 32 THEN 'metadata_digest'
        WHEN length(NEW.target_sealed) NOT BETWEEN 30 AND 512 OR get_byte(NEW.target_sealed, 0) <> 1 THEN 'target_sealed'
        WHEN NEW.target_key !~ '^[a-z0-9][a-z0-9-]{0,9}$' THEN 'target_key'
        WHEN length(NEW.target_fingerprint) <> 32 THEN 'target_fingerprint'
        WHEN (NEW.target_key IS NULL) <> (NEW.target_sealed IS NULL)
            OR NEW.target_sealed IS NOT NULL AND NEW.target_fingerprint IS NULL THEN 'target_key'
    END;
BEGIN
    IF refused IS NOT NULL THEN
        RAISE check_violation USING MESSAGE = format('%s.%s may not hold this', TG_TABLE_NAME, refused), TABLE = TG_TABLE_NAME, COLUMN = refused;
    END IF;
    RETURN NEW;
END
$$;

-- A fact is never changed. The timeline of a reward may be deleted once the reward is archived; nothing else may.
CREATE FUNCTION keep_facts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.subject_kind = 'reward' AND EXISTS (SELECT FROM rewards WHERE id = OLD.subject_id AND archived_at IS NOT NULL) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END
$$;

DROP TRIGGER facts_no_change ON facts;
CREATE TRIGGER facts_no_change BEFORE UPDATE OR TRUNCATE ON facts FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER facts_no_delete BEFORE DELETE ON facts FOR EACH ROW EXECUTE FUNCTION keep_facts();
