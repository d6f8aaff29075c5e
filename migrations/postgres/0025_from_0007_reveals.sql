-- How many codes each API key had shown again in its last hour of doing so. One row a key, so that it does not grow.
--
-- `hour`: since 1970, UTC. `reported`: the level that was reported in it: 0 none, 1 the half of what the key may, 2 all of it.
--
-- A program of schema 7 does not know the table: what it shows is not counted.
CREATE TABLE reveal_counts (
    api_key_id UUID NOT NULL PRIMARY KEY REFERENCES api_keys (id) CHECK (substr(api_key_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    hour BIGINT NOT NULL,
    reveals BIGINT NOT NULL CHECK (reveals > 0),
    reported BIGINT NOT NULL CHECK (reported BETWEEN 0 AND 2)
);
