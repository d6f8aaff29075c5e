-- One outbox for all facts. Each is written in the transaction that makes it true, and never changed. `id` counts up: it is the
-- order of writing. What a fact is about has an id of ours (`subject_id`: a reward; such a subject has a timeline, whose
-- entries `seq` counts) or a name (`subject`: a program, an account, the database). `client_id` and `account`: whose it was
-- when it happened, where the writer knew.
-- No id is given twice: rows are never deleted.
--
-- Programs since schema 7 read and write `events` and `reward_events`: these become views of the same columns.

-- No foreign key: subjects are of several tables, and the row that a timeline belongs to is written before its entry.
CREATE TABLE facts (
    id INTEGER NOT NULL PRIMARY KEY,
    at TEXT NOT NULL CHECK (at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(at, 12) NOT GLOB '*[^0-9:.+]*'),
    seq INTEGER,
    subject_id BLOB CHECK (subject_id IS NULL OR length(subject_id) = 16 AND substr(hex(subject_id), 17, 1) IN ('8', '9', 'A', 'B')),
    client_id BLOB CHECK (client_id IS NULL OR length(client_id) = 16 AND substr(hex(client_id), 17, 1) IN ('8', '9', 'A', 'B')),
    subject_kind TEXT NOT NULL CHECK (subject_kind NOT GLOB '*[^a-z_]*'),
    subject TEXT CHECK (subject NOT GLOB '*[^a-z0-9_.:-]*' AND subject NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    account TEXT CHECK (account NOT GLOB '*[^a-z0-9_.:-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    kind TEXT NOT NULL CHECK (kind NOT GLOB '*[^a-z_.]*'),
    data TEXT CHECK (length(data) <= 1024 AND data NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*')
) STRICT;

-- The facts of named subjects, which are few, keep their ids: callers hold them as cursors.
INSERT INTO facts (id, at, subject_kind, subject, account, kind, data)
SELECT id, at, subject_kind, subject, CASE subject_kind WHEN 'account' THEN subject END, kind, data
FROM (
    SELECT *, CASE
        WHEN kind = 'database.restored' THEN 'database'
        WHEN kind LIKE 'program.%' OR kind LIKE 'budget.%' THEN 'program'
        ELSE 'account'
    END AS subject_kind FROM events
);

DROP TABLE events;

CREATE UNIQUE INDEX facts_timeline ON facts (subject_id, seq) WHERE subject_id IS NOT NULL;

CREATE UNIQUE INDEX facts_named ON facts (id) WHERE subject_id IS NULL;

CREATE TRIGGER facts_no_update BEFORE UPDATE ON facts BEGIN
    SELECT RAISE(ABORT, 'facts is append-only');
END;

CREATE TRIGGER facts_no_delete BEFORE DELETE ON facts BEGIN
    SELECT RAISE(ABORT, 'facts is append-only');
END;

-- The entries of timelines until now stay where they are: there may be millions. Nothing is added to them.
ALTER TABLE reward_events RENAME TO early_reward_events;

CREATE VIEW reward_events AS
SELECT subject_id AS reward_id, seq, at, kind, data AS detail FROM facts
WHERE subject_id IS NOT NULL AND subject_kind = 'reward'
UNION ALL
SELECT reward_id, seq, at, kind, detail FROM early_reward_events;

-- The index is named: the planner would go through the entries of all timelines instead.
CREATE VIEW events AS SELECT id, at, kind, subject, data FROM facts INDEXED BY facts_named WHERE subject_id IS NULL;

CREATE TRIGGER reward_events_write INSTEAD OF INSERT ON reward_events BEGIN
    SELECT RAISE(ABORT, 'there is no such reward') WHERE NOT EXISTS (SELECT 1 FROM rewards WHERE id = NEW.reward_id);
    INSERT INTO facts (at, seq, subject_id, client_id, subject_kind, account, kind, data)
    SELECT NEW.at, NEW.seq, id, client_id, 'reward', account, NEW.kind, NEW.detail FROM rewards WHERE id = NEW.reward_id;
END;

CREATE TRIGGER events_write INSTEAD OF INSERT ON events BEGIN
    INSERT INTO facts (at, subject_kind, subject, account, kind, data)
    SELECT NEW.at, subject_kind, NEW.subject, CASE subject_kind WHEN 'account' THEN NEW.subject END, NEW.kind, NEW.data
    FROM (
        SELECT CASE
            WHEN NEW.kind = 'database.restored' THEN 'database'
            WHEN NEW.kind LIKE 'program.%' OR NEW.kind LIKE 'budget.%' THEN 'program'
            ELSE 'account'
        END AS subject_kind
    );
END;
