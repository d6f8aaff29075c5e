-- The keyed hash of Amazon's id of the reward's card, behind the mark of its key, once an answer has shown the card and the settings list a
-- sealing key. Another card under the same request id is noticed by it. Null: none was shown, or a program wrote the answer that does not
-- write this. A program of schema 7 leaves it as it is.
--
-- In the catalogue, as 0008 says: ALTER TABLE ADD COLUMN with a CHECK would read the whole table.
PRAGMA writable_schema = ON;

-- The column that 0014 added is the last one.
UPDATE sqlite_schema SET sql = replace(
    sql,
    'attempts_before INTEGER',
    'attempts_before INTEGER, card_fingerprint BLOB CHECK (length(card_fingerprint) = 32)'
) WHERE type = 'table' AND name = 'rewards';

PRAGMA writable_schema = RESET;

CREATE VIEW catalogue_changed AS SELECT 1;
DROP VIEW catalogue_changed;
