-- Amazon's key pairs of an account, by their fingerprints: neither an id nor a secret is stored.
--
-- `verdict`: what Amazon said of the pair at `asked_us`; a replica asks until `asking_until_us`. `in_force`: every replica that holds
-- the pair signs with it; at most one of an account is. Instants are microseconds since 1970, and 0 is never.
--
-- A program of schema 7 knows neither table. It signs with the pair in its files.
CREATE TABLE key_pairs (
    account TEXT NOT NULL CHECK (account NOT GLOB '*[^a-z0-9_-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
    met_us INTEGER NOT NULL,
    verdict TEXT CHECK (verdict NOT GLOB '*[^a-z_]*'),
    asked_us INTEGER NOT NULL DEFAULT 0,
    asking_until_us INTEGER NOT NULL DEFAULT 0,
    in_force INTEGER NOT NULL DEFAULT FALSE CHECK (in_force IN (FALSE, TRUE)),
    in_force_us INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account, fingerprint)
) STRICT;
CREATE UNIQUE INDEX key_pairs_in_force ON key_pairs (account) WHERE in_force;

-- Which replica holds which pair. `slot`: whose files it lies in; null where it has gone from them.
CREATE TABLE key_pair_holders (
    account TEXT NOT NULL CHECK (account NOT GLOB '*[^a-z0-9_-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    replica BLOB NOT NULL CHECK (length(replica) = 16 AND substr(hex(replica), 17, 1) IN ('8', '9', 'A', 'B')),
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
    slot TEXT CHECK (slot NOT GLOB '*[^a-z_]*'),
    signs INTEGER NOT NULL CHECK (signs IN (FALSE, TRUE)),
    seen_us INTEGER NOT NULL,
    PRIMARY KEY (account, replica, fingerprint)
) STRICT;
