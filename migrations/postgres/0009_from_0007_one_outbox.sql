-- One outbox for all facts. Each is written in the transaction that makes it true, and never changed. `id` counts up: it is the
-- order of writing. What a fact is about has an id of ours (`subject_id`: a reward; such a subject has a timeline, whose
-- entries `seq` counts) or a name (`subject`: a program, an account, the database). `client_id` and `account`: whose it was
-- when it happened, where the writer knew.
--
-- Programs since schema 7 read and write `events` and `reward_events`: these become views of the same columns.

-- Both tables or neither, and never for longer than a deadlock takes to be noticed: a transaction of a running program that
-- holds one of them and waits for the other must come to its end, not to an error.
DO $$
DECLARE
    patience CONSTANT TEXT := current_setting('lock_timeout');
BEGIN
    PERFORM set_config('lock_timeout', '200ms', true);
    FOR attempt IN 1..20 LOOP
        BEGIN
            LOCK TABLE reward_events, events IN ACCESS EXCLUSIVE MODE;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            IF attempt = 20 THEN RAISE; END IF;
            PERFORM pg_sleep(0.05);
        END;
    END LOOP;
    PERFORM set_config('lock_timeout', patience, true);
END
$$;

-- No foreign key: subjects are of several tables, and the row that a timeline belongs to is written before its entry.
CREATE TABLE facts (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    at TIMESTAMPTZ NOT NULL,
    seq BIGINT,
    subject_id UUID CHECK (substr(subject_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    client_id UUID CHECK (substr(client_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    subject_kind TEXT NOT NULL CHECK (subject_kind !~ '[^a-z_]'),
    subject TEXT CHECK (subject !~ '[^a-z0-9_.:-]' AND subject !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    account TEXT CHECK (account !~ '[^a-z0-9_.:-]' AND account !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    kind TEXT NOT NULL CHECK (kind !~ '[^a-z_.]'),
    data TEXT CHECK (length(data) <= 1024 AND data !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}')
);

-- The facts of named subjects, which are few, keep their ids: callers hold them as cursors.
INSERT INTO facts (id, at, subject_kind, subject, account, kind, data) OVERRIDING SYSTEM VALUE
SELECT id, at, subject_kind, subject, CASE subject_kind WHEN 'account' THEN subject END, kind, data
FROM (
    SELECT *, CASE
        WHEN kind = 'database.restored' THEN 'database'
        WHEN kind LIKE 'program.%' OR kind LIKE 'budget.%' THEN 'program'
        ELSE 'account'
    END AS subject_kind FROM events
) known;

SELECT setval(pg_get_serial_sequence('facts', 'id'), last_value, is_called) FROM events_id_seq;

DROP TABLE events;

CREATE UNIQUE INDEX facts_timeline ON facts (subject_id, seq) WHERE subject_id IS NOT NULL;

CREATE UNIQUE INDEX facts_named ON facts (id) WHERE subject_id IS NULL;

-- Rows lie in the order of their ids, so a summary of every few pages finds a range of ids. A tree over all of them would
-- be one more to write with every entry of a timeline.
CREATE INDEX facts_in_order ON facts USING brin (id) WITH (pages_per_range = 16, autosummarize = on);

CREATE TRIGGER facts_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON facts
    FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- The entries of timelines until now stay where they are: there may be millions. Nothing is added to them.
ALTER TABLE reward_events RENAME TO early_reward_events;

CREATE VIEW reward_events AS
SELECT subject_id AS reward_id, seq, at, kind, data AS detail FROM facts
WHERE subject_id IS NOT NULL AND subject_kind = 'reward'
UNION ALL
SELECT reward_id, seq, at, kind, detail FROM early_reward_events;

CREATE VIEW events AS SELECT id, at, kind, subject, data FROM facts WHERE subject_id IS NULL;

CREATE FUNCTION write_reward_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO facts (at, seq, subject_id, client_id, subject_kind, account, kind, data)
    SELECT NEW.at, NEW.seq, id, client_id, 'reward', account, NEW.kind, NEW.detail FROM rewards WHERE id = NEW.reward_id;
    IF NOT FOUND THEN
        RAISE foreign_key_violation USING MESSAGE = 'there is no such reward';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER reward_events_write INSTEAD OF INSERT ON reward_events FOR EACH ROW EXECUTE FUNCTION write_reward_event();

CREATE FUNCTION write_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    subject_kind CONSTANT TEXT := CASE
        WHEN NEW.kind = 'database.restored' THEN 'database'
        WHEN NEW.kind LIKE 'program.%' OR NEW.kind LIKE 'budget.%' THEN 'program'
        ELSE 'account'
    END;
BEGIN
    INSERT INTO facts (at, subject_kind, subject, account, kind, data)
    VALUES (NEW.at, subject_kind, NEW.subject, CASE subject_kind WHEN 'account' THEN NEW.subject END, NEW.kind, NEW.data);
    RETURN NEW;
END
$$;

CREATE TRIGGER events_write INSTEAD OF INSERT ON events FOR EACH ROW EXECUTE FUNCTION write_event();
