-- What was issued, given back and released in the last hour, and in the odd parts of hours at which a day or a month begins where
-- clocks differ from UTC by half an hour. Whole hours are in `hourly_spending`.
--
-- A program of schema 7 fills the index and does not use it.
CREATE INDEX ledger_entries_moved ON ledger_entries (account, currency, at) WHERE kind IN ('issued', 'canceled', 'released');
