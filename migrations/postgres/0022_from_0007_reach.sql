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

ALTER TABLE programs ADD COLUMN client_id UUID CHECK (substr(client_id::text, 20, 1) IN ('8', '9', 'a', 'b'));
ALTER TABLE api_keys ADD COLUMN replaces UUID CHECK (substr(replaces::text, 20, 1) IN ('8', '9', 'a', 'b'));
ALTER TABLE api_keys ADD COLUMN all_clients BOOLEAN NOT NULL DEFAULT FALSE;

CREATE TABLE day_spending (
    account TEXT NOT NULL CHECK (account !~ '[^a-z0-9_.:-]' AND account !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    holder TEXT NOT NULL CHECK (holder ~ '^(all|cli_[0-9a-f]{32})$'),
    day TEXT NOT NULL CHECK (day ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$'),
    spent_minor BIGINT NOT NULL,
    rewards BIGINT NOT NULL,
    refused_at TIMESTAMPTZ,
    PRIMARY KEY (account, holder, day)
);

-- What belongs to other clients is seen from now on with `all_clients` alone. The keys that were made for that have it: those with a scope of an
-- operator, and those that read the books and cannot buy.
UPDATE api_keys SET all_clients = TRUE
WHERE program_id IS NULL AND (
    ' ' || scopes || ' ' LIKE '% programs:write %' OR ' ' || scopes || ' ' LIKE '% reconciliations:write %'
    OR ' ' || scopes || ' ' LIKE '% ledger:read %' AND ' ' || scopes || ' ' NOT LIKE '% rewards:write %'
);
