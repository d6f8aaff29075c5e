-- Amazon's key pairs of an account, by their fingerprints: neither an id nor a secret is stored.
--
-- `verdict`: what Amazon said of the pair at `asked_us`; a replica asks until `asking_until_us`. `in_force`: every replica that holds
-- the pair signs with it; at most one of an account is. Instants are microseconds since 1970, and 0 is never.
--
-- A program of schema 7 knows neither table. It signs with the pair in its files.
CREATE TABLE key_pairs (
    account TEXT NOT NULL CHECK (account !~ '[^a-z0-9_-]' AND account !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    fingerprint BYTEA NOT NULL CHECK (length(fingerprint) = 32),
    met_us BIGINT NOT NULL,
    verdict TEXT CHECK (verdict !~ '[^a-z_]'),
    asked_us BIGINT NOT NULL DEFAULT 0,
    asking_until_us BIGINT NOT NULL DEFAULT 0,
    in_force BOOLEAN NOT NULL DEFAULT FALSE,
    in_force_us BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (account, fingerprint)
);
CREATE UNIQUE INDEX key_pairs_in_force ON key_pairs (account) WHERE in_force;

-- Which replica holds which pair. `slot`: whose files it lies in; null where it has gone from them.
CREATE TABLE key_pair_holders (
    account TEXT NOT NULL CHECK (account !~ '[^a-z0-9_-]' AND account !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    replica UUID NOT NULL CHECK (substr(replica::text, 20, 1) IN ('8', '9', 'a', 'b')),
    fingerprint BYTEA NOT NULL CHECK (length(fingerprint) = 32),
    slot TEXT CHECK (slot !~ '[^a-z_]'),
    signs BOOLEAN NOT NULL,
    seen_us BIGINT NOT NULL,
    PRIMARY KEY (account, replica, fingerprint)
);
