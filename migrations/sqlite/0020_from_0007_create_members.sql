-- What the create of a gift code says besides its value, as the JSON members that each attempt sends: the program of a reseller, the product
-- of a voucher, the caller's reference, the till. Written with the intent, so that every replay sends the same bytes. Null: nothing.
--
-- A program of schema 7 would replay such a row without them. It takes no row of a kind that it does not know, so the kind of these rows
-- is `gift_code_extended`.
--
-- The words are a caller's own: an order number passes, as in 0016. In the catalogue, as 0008 says: ALTER TABLE ADD COLUMN with a CHECK
-- would read the whole table. The new column is the last one, before the table's own check.
PRAGMA writable_schema = ON;

UPDATE sqlite_schema SET sql = replace(
    sql,
    ',
    CHECK ((target_key IS NULL)',
    ',
    create_members TEXT CHECK (length(create_members) <= 2048 AND create_members NOT GLOB ''*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'' AND
        create_members NOT GLOB ''*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'' AND
        create_members NOT GLOB ''*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'' AND
        create_members NOT GLOB ''*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'' AND
        create_members NOT GLOB ''*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'' AND
        create_members NOT GLOB ''*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'' AND
        create_members NOT GLOB ''*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'' AND
        create_members NOT GLOB ''*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z]*'' AND
        create_members NOT GLOB ''*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z]*'' AND
        create_members NOT GLOB ''*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z]*''),
    CHECK ((target_key IS NULL)'
) WHERE type = 'table' AND name = 'rewards';

PRAGMA writable_schema = RESET;

CREATE VIEW catalogue_changed AS SELECT 1;
DROP VIEW catalogue_changed;
