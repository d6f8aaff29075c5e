-- The ledger accounts as rows. What an entry debits and credits, and how the value moved, is no longer a list of words in
-- a CHECK: a new ledger account is a row here, and a new kind of movement needs nothing.

-- `normal_side`: the side that makes the balance grow. `in_expected_balance`: the sum of these accounts is what Amazon
-- must report as available once no purchase is unfinished.
CREATE TABLE ledger_accounts (
    name TEXT NOT NULL PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 40 AND name NOT GLOB '*[^a-z_]*'),
    normal_side TEXT NOT NULL CHECK (normal_side IN ('debit', 'credit')),
    in_expected_balance INTEGER NOT NULL CHECK (in_expected_balance IN (0, 1)),
    meaning TEXT NOT NULL CHECK (length(meaning) <= 100 AND meaning NOT GLOB '*[^a-z ]*')
) STRICT;

INSERT INTO ledger_accounts (name, normal_side, in_expected_balance, meaning) VALUES
    ('funds', 'debit', 1, 'what can be spent'),
    ('reserved', 'debit', 1, 'what unfinished purchases hold'),
    ('issued', 'debit', 0, 'what was bought and not given back'),
    ('deposits', 'credit', 0, 'what was paid in'),
    ('adjustments', 'credit', 0, 'what a person corrected');

-- Small: a row for each account and kind of movement.
CREATE TABLE ledger_totals_anew (
    account TEXT NOT NULL CHECK (account NOT GLOB '*[^a-z0-9_.:-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    kind TEXT NOT NULL CHECK (length(kind) BETWEEN 1 AND 40 AND kind NOT GLOB '*[^a-z_]*'),
    debit TEXT NOT NULL REFERENCES ledger_accounts (name) CHECK (debit NOT GLOB '*[^a-z_]*'),
    amount_minor INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    PRIMARY KEY (account, currency, kind, debit)
) STRICT;

INSERT INTO ledger_totals_anew (account, currency, kind, debit, amount_minor, entries)
SELECT account, currency, kind, debit, amount_minor, entries FROM ledger_totals;

DROP TABLE ledger_totals;

ALTER TABLE ledger_totals_anew RENAME TO ledger_totals;

-- The ledger itself may have millions of rows, and is not copied: only the text of its definition changes, in the way that
-- SQLite describes for changes that no stored row takes part in (sqlite.org/lang_altertable.html, part 7). Every row that
-- the old words allowed, the new ones allow. Where the text is another one, the old check simply stays.
PRAGMA writable_schema = ON;

UPDATE sqlite_schema SET sql = replace(replace(replace(sql,
    'CHECK (kind IN (''opening'', ''deposit'', ''reserved'', ''issued'', ''released'', ''canceled'', ''adjustment''))',
    'CHECK (length(kind) BETWEEN 1 AND 40 AND kind NOT GLOB ''*[^a-z_]*'')'),
    'CHECK (debit IN (''funds'', ''reserved'', ''issued'', ''deposits'', ''adjustments''))',
    'REFERENCES ledger_accounts (name) CHECK (debit NOT GLOB ''*[^a-z_]*'')'),
    'CHECK (credit IN (''funds'', ''reserved'', ''issued'', ''deposits'', ''adjustments''))',
    'REFERENCES ledger_accounts (name) CHECK (credit NOT GLOB ''*[^a-z_]*'')')
WHERE type = 'table' AND name = 'ledger_entries';

-- Reads the definition anew here. Other connections do so because the tables above changed the schema's version.
PRAGMA writable_schema = RESET;
