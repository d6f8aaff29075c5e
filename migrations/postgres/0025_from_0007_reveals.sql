-- How many codes each API key had shown again in its last hour of doing so. One row a key, so that it does not grow.
--
-- `hour`: since 1970, UTC.
--
-- A program of schema 7 does not know the table: what it shows is not counted.
CREATE TABLE reveal_counts (
    api_key_id UUID NOT NULL PRIMARY KEY REFERENCES api_keys (id) CHECK (substr(api_key_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    hour BIGINT NOT NULL,
    reveals BIGINT NOT NULL CHECK (reveals > 0)
);
