-- What a key may do.
--
-- `programs.client_id`: whose program it is; null for a program of schema 7, which every client may charge and see as before, until somebody
-- gives it an owner. A program of schema 7 knows no owners: it goes on letting each client charge each program.
--
-- `api_keys.replaces`: the key whose successor this one is. `all_clients`: it has the scope `clients:all`. A program of schema 7 cannot read a
-- key with a scope that it does not know, so this one stands in a column of its own. There such a key sees what it always saw.
--
-- `day_spending`: what was let in to be bought with an account on a day (of the account's time zone), by a client and by all of them
-- together (`holder` is `all`). A reward is counted once, with its row, whatever becomes of it. `refused_at`: when the first reward of the
-- day was refused. A program of schema 7 neither counts nor refuses.

ALTER TABLE programs ADD COLUMN client_id BLOB CHECK (client_id IS NULL OR length(client_id) = 16 AND substr(hex(client_id), 17, 1) IN ('8', '9', 'A', 'B'));
ALTER TABLE api_keys ADD COLUMN replaces BLOB CHECK (replaces IS NULL OR length(replaces) = 16 AND substr(hex(replaces), 17, 1) IN ('8', '9', 'A', 'B'));
ALTER TABLE api_keys ADD COLUMN all_clients INTEGER NOT NULL DEFAULT FALSE CHECK (all_clients IN (FALSE, TRUE));

CREATE TABLE day_spending (
    account TEXT NOT NULL CHECK (account NOT GLOB '*[^a-z0-9_.:-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    holder TEXT NOT NULL CHECK (holder = 'all' OR holder GLOB 'cli_*' AND length(holder) = 36 AND holder NOT GLOB '*[^a-z0-9_]*'),
    day TEXT NOT NULL CHECK (day GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'),
    spent_minor INTEGER NOT NULL,
    rewards INTEGER NOT NULL,
    refused_at TEXT CHECK (refused_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(refused_at, 12) NOT GLOB '*[^0-9:.+]*'),
    PRIMARY KEY (account, holder, day)
) STRICT;

-- What belongs to other clients is seen from now on with `all_clients` alone. The keys that were made for that have it: those with a scope of an
-- operator, and those that read the books and cannot buy.
UPDATE api_keys SET all_clients = TRUE
WHERE program_id IS NULL AND (
    ' ' || scopes || ' ' LIKE '% programs:write %' OR ' ' || scopes || ' ' LIKE '% reconciliations:write %'
    OR ' ' || scopes || ' ' LIKE '% ledger:read %' AND ' ' || scopes || ' ' NOT LIKE '% rewards:write %'
);
