-- How many codes each API key had shown again in its last hour of doing so. One row a key, so that it does not grow.
--
-- `hour`: since 1970, UTC.
--
-- A program of schema 7 does not know the table: what it shows is not counted.
CREATE TABLE reveal_counts (
    api_key_id BLOB NOT NULL PRIMARY KEY REFERENCES api_keys (id) CHECK (length(api_key_id) = 16 AND substr(hex(api_key_id), 17, 1) IN ('8', '9', 'A', 'B')),
    hour INTEGER NOT NULL,
    reveals INTEGER NOT NULL CHECK (reveals > 0)
) STRICT;
