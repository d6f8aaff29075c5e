-- The treasury: what Amazon said over time, what was spent in each hour, and what follows from both.

-- What Amazon said an account can spend. `hour` counts hours since 1970: beyond two days one of each hour is kept.
CREATE TABLE balance_observations (
    account TEXT NOT NULL CHECK (account !~ '[^a-z0-9_.:-]' AND account !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    hour BIGINT NOT NULL,
    as_of TIMESTAMPTZ NOT NULL,
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    available_minor BIGINT NOT NULL,
    PRIMARY KEY (account, hour, as_of)
);

-- How far the ledger is counted into `ledger_totals` and `hourly_spending`: all entries up to `through_id`, among them all
-- that were written before `through_at`. `mark_id` was the last entry at `mark_at`: once every transaction of then has
-- ended, it is the next `through_id`. A smaller id may be committed later than a larger one.
CREATE TABLE ledger_marks (
    account TEXT NOT NULL CHECK (account !~ '[^a-z0-9_.:-]' AND account !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    through_id BIGINT NOT NULL,
    through_at TIMESTAMPTZ NOT NULL,
    mark_id BIGINT NOT NULL,
    mark_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (account, currency)
);

-- The sums of the entries up to the mark, so that the rest is all that has to be added up.
CREATE TABLE ledger_totals (
    account TEXT NOT NULL CHECK (account !~ '[^a-z0-9_.:-]' AND account !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    kind TEXT NOT NULL CHECK (kind IN ('opening', 'deposit', 'reserved', 'issued', 'released', 'canceled', 'adjustment')),
    debit TEXT NOT NULL CHECK (debit IN ('funds', 'reserved', 'issued', 'deposits', 'adjustments')),
    amount_minor BIGINT NOT NULL,
    entries BIGINT NOT NULL,
    PRIMARY KEY (account, currency, kind, debit)
);

-- What was spent in each hour (since 1970), up to the mark. `rewards` counts what was issued.
CREATE TABLE hourly_spending (
    account TEXT NOT NULL CHECK (account !~ '[^a-z0-9_.:-]' AND account !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    hour BIGINT NOT NULL,
    issued_minor BIGINT NOT NULL,
    canceled_minor BIGINT NOT NULL,
    rewards BIGINT NOT NULL,
    PRIMARY KEY (account, currency, hour)
);

-- What the last observation of an account came to. `version` counts observations: who compares it books alone.
-- `opening_room`: how much more the account may have held when the ledger began; null once that is known.
-- `missing_minor`: what is missing at Amazon and nothing explains. `adjustments_minor`: the adjustments seen so far.
-- `low`, `short`: which alarms are on. `last_entry`: the last ledger entry seen.
CREATE TABLE treasury (
    account TEXT NOT NULL CHECK (account !~ '[^a-z0-9_.:-]' AND account !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    version BIGINT NOT NULL,
    opening_room BIGINT,
    missing_minor BIGINT NOT NULL,
    adjustments_minor BIGINT NOT NULL,
    low BOOLEAN NOT NULL,
    short BOOLEAN NOT NULL,
    runway_seconds BIGINT,
    runway_pessimistic_seconds BIGINT,
    last_entry BIGINT NOT NULL,
    PRIMARY KEY (account, currency)
);
