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
--
-- The columns in the catalogue, as 0008 says: ALTER TABLE ADD COLUMN with a CHECK would read the whole table. They are the last ones, before the
-- table's own check.
PRAGMA writable_schema = ON;

UPDATE sqlite_schema SET sql = replace(
    sql,
    ',
    CHECK ((target_key IS NULL)',
    ',
    archived_at TEXT CHECK (archived_at GLOB ''[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*'' AND substr(archived_at, 12) NOT GLOB ''*[^0-9:.+]*''),
    metadata_digest BLOB CHECK (length(metadata_digest) = 32),
    CHECK ((target_key IS NULL)'
) WHERE type = 'table' AND name = 'rewards';

PRAGMA writable_schema = RESET;

CREATE TABLE retention (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    through BLOB CHECK (through IS NULL OR length(through) = 16 AND substr(hex(through), 17, 1) IN ('8', '9', 'A', 'B')),
    archived INTEGER NOT NULL,
    lease_token BLOB CHECK (lease_token IS NULL OR length(lease_token) = 16 AND substr(hex(lease_token), 17, 1) IN ('8', '9', 'A', 'B')),
    lease_until TEXT CHECK (lease_until GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(lease_until, 12) NOT GLOB '*[^0-9:.+]*')
) STRICT;
INSERT INTO retention (id, archived) VALUES (1, 0);

CREATE TABLE retention_waiting (
    reward_id BLOB NOT NULL PRIMARY KEY CHECK (length(reward_id) = 16 AND substr(hex(reward_id), 17, 1) IN ('8', '9', 'A', 'B'))
) STRICT;

-- A fact is never changed. The timeline of a reward may be deleted once the reward is archived; nothing else may.
DROP TRIGGER facts_no_delete;
CREATE TRIGGER facts_no_delete BEFORE DELETE ON facts
WHEN OLD.subject_kind <> 'reward' OR NOT EXISTS (SELECT 1 FROM rewards WHERE id = OLD.subject_id AND archived_at IS NOT NULL)
BEGIN
    SELECT RAISE(ABORT, 'facts is append-only');
END;
