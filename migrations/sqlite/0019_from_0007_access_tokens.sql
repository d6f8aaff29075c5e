-- The keyed hash of the access token that a reward was made by, where a shopper signed in with Login with Amazon, behind the mark of its key.
-- A request that comes again with the same token is recognised by it, also once the token has expired. The token itself is kept nowhere. Null:
-- the caller named the target. A program of schema 7 leaves it as it is.
--
-- In the catalogue, as 0008 says: ALTER TABLE ADD COLUMN with a CHECK would read the whole table. The new column is the last one, before the
-- table's own check.
PRAGMA writable_schema = ON;

UPDATE sqlite_schema SET sql = replace(
    sql,
    ',
    CHECK ((target_key IS NULL)',
    ',
    token_fingerprint BLOB CHECK (length(token_fingerprint) = 32),
    CHECK ((target_key IS NULL)'
) WHERE type = 'table' AND name = 'rewards';

PRAGMA writable_schema = RESET;

CREATE VIEW catalogue_changed AS SELECT 1;
DROP VIEW catalogue_changed;
