-- Kinds: the schema no longer lists them, so that a new one needs no change here; whether a refused reward may be tried
-- again is a column, for a kind decides it; and what a kind acts on is kept sealed until its outcome is final.
--
-- SQLite cannot alter a CHECK. Its page on ALTER TABLE knows two ways. A copy of the table takes its room a second time and
-- needs foreign keys off. The table's text in the catalogue changes no row, and is as atomic as any other write: this way.
-- The columns go along: they stand last and are null in every row, as ALTER TABLE ADD COLUMN would leave them, which reads
-- the whole table once for each (a million rewards: minutes). Whatever is there fits: the old check on the kind was the
-- narrower.
--
-- `retryable`: whether a failed reward may be tried again; `retryable_version`: the row's version that this was written
-- with. A program of schema 7 writes neither: once it has changed the row the version is another, and its own rule holds
-- (failed, and not by F200).
--
-- `target_sealed`: what the reward acts on, where its kind acts on something (a format byte, the nonce, the text, the
-- tag); `target_key`: the id of the key that opens it. No id is as long as a claim code. Both go when the outcome is final.
-- `target_fingerprint` (the key's mark, a keyed hash) stays: it says whether a request that comes again is the same.
PRAGMA writable_schema = ON;

UPDATE sqlite_schema SET sql = replace(
    sql,
    'kind TEXT NOT NULL CHECK (kind IN (''gift_code''))',
    'kind TEXT NOT NULL CHECK (length(kind) <= 32 AND kind GLOB ''[a-z]*'' AND kind NOT GLOB ''*[^a-z_]*'')'
) WHERE type = 'table' AND name = 'rewards';

UPDATE sqlite_schema SET sql = substr(sql, 1, length(sql) - length(') STRICT')) || ',
    retryable INTEGER CHECK (retryable IN (0, 1)),
    retryable_version INTEGER,
    target_sealed BLOB CHECK (target_sealed IS NULL OR length(target_sealed) BETWEEN 30 AND 512 AND substr(hex(target_sealed), 1, 2) = ''01''),
    target_fingerprint BLOB CHECK (length(target_fingerprint) = 32),
    target_key TEXT CHECK (length(target_key) BETWEEN 1 AND 10 AND target_key NOT GLOB ''*[^a-z0-9-]*'' AND target_key NOT GLOB ''-*''),
    CHECK ((target_key IS NULL) = (target_sealed IS NULL) AND (target_sealed IS NULL OR target_fingerprint IS NOT NULL))
) STRICT' WHERE type = 'table' AND name = 'rewards' AND sql LIKE '%) STRICT';

-- This connection reads the catalogue again, and refuses what it cannot read.
PRAGMA writable_schema = RESET;

-- Any change that SQLite itself makes to the catalogue has every other connection read it again.
CREATE VIEW catalogue_changed AS SELECT 1;
DROP VIEW catalogue_changed;
