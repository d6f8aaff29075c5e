-- The ledger accounts as rows. What an entry debits and credits, and how the value moved, is no longer a list of words in
-- a CHECK: a new ledger account is a row here, and a new kind of movement needs nothing.

-- `normal_side`: the side that makes the balance grow. `in_expected_balance`: the sum of these accounts is what Amazon
-- must report as available once no purchase is unfinished.
CREATE TABLE ledger_accounts (
    name TEXT NOT NULL PRIMARY KEY CHECK (name ~ '^[a-z_]{1,40}$'),
    normal_side TEXT NOT NULL CHECK (normal_side IN ('debit', 'credit')),
    in_expected_balance BOOLEAN NOT NULL,
    meaning TEXT NOT NULL CHECK (meaning ~ '^[a-z ]{1,100}$')
);

INSERT INTO ledger_accounts (name, normal_side, in_expected_balance, meaning) VALUES
    ('funds', 'debit', TRUE, 'what can be spent'),
    ('reserved', 'debit', TRUE, 'what unfinished purchases hold'),
    ('issued', 'debit', FALSE, 'what was bought and not given back'),
    ('deposits', 'credit', FALSE, 'what was paid in'),
    ('adjustments', 'credit', FALSE, 'what a person corrected');

ALTER TABLE ledger_totals
    DROP CONSTRAINT ledger_totals_kind_check,
    DROP CONSTRAINT ledger_totals_debit_check,
    ADD CONSTRAINT ledger_totals_kind_check CHECK (kind ~ '^[a-z_]{1,40}$'),
    ADD CONSTRAINT ledger_totals_debit_check CHECK (debit !~ '[^a-z_]'),
    ADD CONSTRAINT ledger_totals_debit_fkey FOREIGN KEY (debit) REFERENCES ledger_accounts (name);

-- The ledger itself may have millions of rows, and is not read: every row that the old checks allowed, the new ones allow.
ALTER TABLE ledger_entries
    DROP CONSTRAINT ledger_entries_kind_check,
    DROP CONSTRAINT ledger_entries_debit_check,
    DROP CONSTRAINT ledger_entries_credit_check,
    ADD CONSTRAINT ledger_entries_kind_check CHECK (kind ~ '^[a-z_]{1,40}$') NOT VALID,
    ADD CONSTRAINT ledger_entries_debit_check CHECK (debit !~ '[^a-z_]') NOT VALID,
    ADD CONSTRAINT ledger_entries_credit_check CHECK (credit !~ '[^a-z_]') NOT VALID,
    ADD CONSTRAINT ledger_entries_debit_fkey FOREIGN KEY (debit) REFERENCES ledger_accounts (name) NOT VALID,
    ADD CONSTRAINT ledger_entries_credit_fkey FOREIGN KEY (credit) REFERENCES ledger_accounts (name) NOT VALID;
