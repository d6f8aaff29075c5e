-- The books: programs and their budgets, the ledger, and what happened to either.

-- A budget that rewards are charged to. Its account pays and decides the currency and where a day begins.
CREATE TABLE programs (
    id TEXT NOT NULL PRIMARY KEY CHECK (id GLOB 'prg_*' AND length(id) <= 44 AND id NOT GLOB '*[^a-z0-9_]*'),
    name TEXT NOT NULL CHECK (length(name) <= 100 AND name NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    account TEXT NOT NULL CHECK (account NOT GLOB '*[^a-z0-9_.:-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    state TEXT NOT NULL CHECK (state IN ('active', 'suspended')),
    version INTEGER NOT NULL,
    created_at TEXT NOT NULL CHECK (created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(created_at, 12) NOT GLOB '*[^0-9:.+]*'),
    updated_at TEXT NOT NULL CHECK (updated_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(updated_at, 12) NOT GLOB '*[^0-9:.+]*')
) STRICT;

-- What a program, or one API key in it, may spend. `hard` refuses, `soft` only tells. Amounts are minor units of the
-- account's currency. A `reward` has no count.
CREATE TABLE program_limits (
    program_id TEXT NOT NULL REFERENCES programs (id) CHECK (program_id GLOB 'prg_*' AND length(program_id) <= 44 AND program_id NOT GLOB '*[^a-z0-9_]*'),
    holder TEXT NOT NULL CHECK (holder = 'all' OR holder GLOB 'key_*' AND length(holder) = 36 AND holder NOT GLOB '*[^a-z0-9_]*'),
    span TEXT NOT NULL CHECK (span IN ('reward', 'day', 'month', 'total')),
    unit TEXT NOT NULL CHECK (unit IN ('amount', 'count')),
    hard INTEGER CHECK (hard >= 0),
    soft INTEGER CHECK (soft >= 0),
    PRIMARY KEY (program_id, holder, span, unit)
) STRICT;

-- What was spent and what is reserved, in each day and month of the account's time zone and ever. The limits are those
-- of the last reservation: the guarded update that reserves compares with them.
CREATE TABLE budget_usage (
    program_id TEXT NOT NULL REFERENCES programs (id) CHECK (program_id GLOB 'prg_*' AND length(program_id) <= 44 AND program_id NOT GLOB '*[^a-z0-9_]*'),
    holder TEXT NOT NULL CHECK (holder = 'all' OR holder GLOB 'key_*' AND length(holder) = 36 AND holder NOT GLOB '*[^a-z0-9_]*'),
    span TEXT NOT NULL CHECK (span IN ('day', 'month', 'total')),
    period TEXT NOT NULL CHECK (period = 'ever' OR period GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]' OR period GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'),
    reserved_minor INTEGER NOT NULL,
    reserved_count INTEGER NOT NULL,
    used_minor INTEGER NOT NULL,
    used_count INTEGER NOT NULL,
    limit_minor INTEGER,
    limit_count INTEGER,
    PRIMARY KEY (program_id, holder, span, period)
) STRICT;

-- Double entry: each row moves an amount from one ledger account (`credit`) to another (`debit`) of one partner account,
-- so the sum over all is 0. Never changed, never deleted.
CREATE TABLE ledger_entries (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL CHECK (at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(at, 12) NOT GLOB '*[^0-9:.+]*'),
    account TEXT NOT NULL CHECK (account NOT GLOB '*[^a-z0-9_.:-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    kind TEXT NOT NULL CHECK (kind IN ('opening', 'deposit', 'reserved', 'issued', 'released', 'canceled', 'adjustment')),
    debit TEXT NOT NULL CHECK (debit IN ('funds', 'reserved', 'issued', 'deposits', 'adjustments')),
    credit TEXT NOT NULL CHECK (credit IN ('funds', 'reserved', 'issued', 'deposits', 'adjustments')),
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    reward_id BLOB CHECK (reward_id IS NULL OR length(reward_id) = 16 AND substr(hex(reward_id), 17, 1) IN ('8', '9', 'A', 'B')),
    program_id TEXT CHECK (program_id GLOB 'prg_*' AND length(program_id) <= 44 AND program_id NOT GLOB '*[^a-z0-9_]*'),
    note TEXT CHECK (length(note) <= 200 AND note NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    made_by TEXT CHECK (length(made_by) <= 100 AND made_by NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    CHECK (debit <> credit)
) STRICT;

CREATE INDEX ledger_entries_of_account ON ledger_entries (account, id);

-- What finance and operators should hear of, oldest first; rewards have timelines of their own.
CREATE TABLE events (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL CHECK (at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(at, 12) NOT GLOB '*[^0-9:.+]*'),
    kind TEXT NOT NULL CHECK (kind NOT GLOB '*[^a-z_.]*'),
    subject TEXT NOT NULL CHECK (subject NOT GLOB '*[^a-z0-9_.:-]*' AND subject NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    data TEXT CHECK (length(data) <= 1024 AND data NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*')
) STRICT;

CREATE TRIGGER ledger_entries_no_update BEFORE UPDATE ON ledger_entries BEGIN
    SELECT RAISE(ABORT, 'ledger_entries is append-only');
END;

CREATE TRIGGER ledger_entries_no_delete BEFORE DELETE ON ledger_entries BEGIN
    SELECT RAISE(ABORT, 'ledger_entries is append-only');
END;

-- A key may be bound to one program: what it issues is charged there.
ALTER TABLE api_keys ADD COLUMN program_id TEXT REFERENCES programs (id) CHECK (program_id GLOB 'prg_*' AND length(program_id) <= 44 AND program_id NOT GLOB '*[^a-z0-9_]*');

-- Where a reward stands in the books, and which budgets it is charged to: the program, the API key in it, and the day.
ALTER TABLE rewards ADD COLUMN program_id TEXT REFERENCES programs (id) CHECK (program_id GLOB 'prg_*' AND length(program_id) <= 44 AND program_id NOT GLOB '*[^a-z0-9_]*');
ALTER TABLE rewards ADD COLUMN budget_key TEXT CHECK (budget_key GLOB 'key_*' AND length(budget_key) = 36 AND budget_key NOT GLOB '*[^a-z0-9_]*');
ALTER TABLE rewards ADD COLUMN budget_day TEXT CHECK (budget_day GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]');
ALTER TABLE rewards ADD COLUMN booked TEXT NOT NULL DEFAULT 'none' CHECK (booked IN ('none', 'reserved', 'issued'));

-- What was bought before there was a ledger. Amazon's mock ids (five characters) move no money.
INSERT INTO ledger_entries (at, account, currency, kind, debit, credit, amount_minor, reward_id)
SELECT created_at, account, currency, 'reserved', 'reserved', 'funds', amount_minor, id FROM rewards
WHERE state NOT IN ('failed', 'canceled') AND length(creation_request_id) <> 5 ORDER BY id;

INSERT INTO ledger_entries (at, account, currency, kind, debit, credit, amount_minor, reward_id)
SELECT COALESCE(issued_at, updated_at), account, currency, 'issued', 'issued', 'reserved', amount_minor, id FROM rewards
WHERE state IN ('issued', 'canceling') AND length(creation_request_id) <> 5 ORDER BY id;

UPDATE rewards SET booked = CASE
    WHEN length(creation_request_id) = 5 THEN 'none'
    WHEN state IN ('issued', 'canceling') THEN 'issued'
    WHEN state IN ('failed', 'canceled') THEN 'none'
    ELSE 'reserved'
END;
