-- The treasury: what Amazon said over time, what was spent in each hour, and what follows from both.

-- What Amazon said an account can spend. `hour` counts hours since 1970: beyond two days one of each hour is kept.
CREATE TABLE balance_observations (
    account TEXT NOT NULL CHECK (account NOT GLOB '*[^a-z0-9_.:-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    hour INTEGER NOT NULL,
    as_of TEXT NOT NULL CHECK (as_of GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(as_of, 12) NOT GLOB '*[^0-9:.+]*'),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    available_minor INTEGER NOT NULL,
    PRIMARY KEY (account, hour, as_of)
) STRICT;

-- How far the ledger is counted into `ledger_totals` and `hourly_spending`: all entries up to `through_id`, among them all
-- that were written before `through_at`. `mark_id` was the last entry at `mark_at`: once every transaction of then has
-- ended, it is the next `through_id`. A smaller id may be committed later than a larger one.
CREATE TABLE ledger_marks (
    account TEXT NOT NULL CHECK (account NOT GLOB '*[^a-z0-9_.:-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    through_id INTEGER NOT NULL,
    through_at TEXT NOT NULL CHECK (through_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(through_at, 12) NOT GLOB '*[^0-9:.+]*'),
    mark_id INTEGER NOT NULL,
    mark_at TEXT NOT NULL CHECK (mark_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(mark_at, 12) NOT GLOB '*[^0-9:.+]*'),
    PRIMARY KEY (account, currency)
) STRICT;

-- The sums of the entries up to the mark, so that the rest is all that has to be added up.
CREATE TABLE ledger_totals (
    account TEXT NOT NULL CHECK (account NOT GLOB '*[^a-z0-9_.:-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    kind TEXT NOT NULL CHECK (kind IN ('opening', 'deposit', 'reserved', 'issued', 'released', 'canceled', 'adjustment')),
    debit TEXT NOT NULL CHECK (debit IN ('funds', 'reserved', 'issued', 'deposits', 'adjustments')),
    amount_minor INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    PRIMARY KEY (account, currency, kind, debit)
) STRICT;

-- What was spent in each hour (since 1970), up to the mark. `rewards` counts what was issued.
CREATE TABLE hourly_spending (
    account TEXT NOT NULL CHECK (account NOT GLOB '*[^a-z0-9_.:-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    hour INTEGER NOT NULL,
    issued_minor INTEGER NOT NULL,
    canceled_minor INTEGER NOT NULL,
    rewards INTEGER NOT NULL,
    PRIMARY KEY (account, currency, hour)
) STRICT;

-- What the last observation of an account came to. `version` counts observations: who compares it books alone.
-- `opening_room`: how much more the account may have held when the ledger began; null once that is known.
-- `missing_minor`: what is missing at Amazon and nothing explains. `adjustments_minor`: the adjustments seen so far.
-- `low`, `short`: which alarms are on. `last_entry`: the last ledger entry seen.
CREATE TABLE treasury (
    account TEXT NOT NULL CHECK (account NOT GLOB '*[^a-z0-9_.:-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    version INTEGER NOT NULL,
    opening_room INTEGER,
    missing_minor INTEGER NOT NULL,
    adjustments_minor INTEGER NOT NULL,
    low INTEGER NOT NULL CHECK (low IN (0, 1)),
    short INTEGER NOT NULL CHECK (short IN (0, 1)),
    runway_seconds INTEGER,
    runway_pessimistic_seconds INTEGER,
    last_entry INTEGER NOT NULL,
    PRIMARY KEY (account, currency)
) STRICT;
