-- What came to an account and what a person corrected, by time: a month's statement begins with the sum of all of it that is older. What was
-- bought and given back is in `hourly_spending`, and in `ledger_entries_moved`.
--
-- A program of schema 7 fills the index and does not use it.
CREATE INDEX IF NOT EXISTS ledger_entries_funded ON ledger_entries (account, currency, at) WHERE kind IN ('opening', 'deposit', 'adjustment');
