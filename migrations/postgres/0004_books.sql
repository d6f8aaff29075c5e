-- The books: programs and their budgets, the ledger, and what happened to either.

-- A budget that rewards are charged to. Its account pays and decides the currency and where a day begins.
CREATE TABLE programs (
    id TEXT NOT NULL PRIMARY KEY CHECK (id ~ '^prg_[a-z0-9_]{1,40}$'),
    name TEXT NOT NULL CHECK (length(name) <= 100 AND name !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    account TEXT NOT NULL CHECK (account !~ '[^a-z0-9_.:-]' AND account !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    state TEXT NOT NULL CHECK (state IN ('active', 'suspended')),
    version BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

-- What a program, or one API key in it, may spend. `hard` refuses, `soft` only tells. Amounts are minor units of the
-- account's currency. A `reward` has no count.
CREATE TABLE program_limits (
    program_id TEXT NOT NULL REFERENCES programs (id) CHECK (program_id ~ '^prg_[a-z0-9_]{1,40}$'),
    holder TEXT NOT NULL CHECK (holder = 'all' OR holder ~ '^key_[0-9a-f]{32}$'),
    span TEXT NOT NULL CHECK (span IN ('reward', 'day', 'month', 'total')),
    unit TEXT NOT NULL CHECK (unit IN ('amount', 'count')),
    hard BIGINT CHECK (hard >= 0),
    soft BIGINT CHECK (soft >= 0),
    PRIMARY KEY (program_id, holder, span, unit)
);

-- What was spent and what is reserved, in each day and month of the account's time zone and ever. The limits are those
-- of the last reservation: the guarded update that reserves compares with them.
CREATE TABLE budget_usage (
    program_id TEXT NOT NULL REFERENCES programs (id) CHECK (program_id ~ '^prg_[a-z0-9_]{1,40}$'),
    holder TEXT NOT NULL CHECK (holder = 'all' OR holder ~ '^key_[0-9a-f]{32}$'),
    span TEXT NOT NULL CHECK (span IN ('day', 'month', 'total')),
    period TEXT NOT NULL CHECK (period = 'ever' OR period ~ '^[0-9]{4}-[0-9]{2}(-[0-9]{2})?$'),
    reserved_minor BIGINT NOT NULL,
    reserved_count BIGINT NOT NULL,
    used_minor BIGINT NOT NULL,
    used_count BIGINT NOT NULL,
    limit_minor BIGINT,
    limit_count BIGINT,
    PRIMARY KEY (program_id, holder, span, period)
);

-- Double entry: each row moves an amount from one ledger account (`credit`) to another (`debit`) of one partner account,
-- so the sum over all is 0. Never changed, never deleted.
CREATE TABLE ledger_entries (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at TIMESTAMPTZ NOT NULL,
    account TEXT NOT NULL CHECK (account !~ '[^a-z0-9_.:-]' AND account !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    kind TEXT NOT NULL CHECK (kind IN ('opening', 'deposit', 'reserved', 'issued', 'released', 'canceled', 'adjustment')),
    debit TEXT NOT NULL CHECK (debit IN ('funds', 'reserved', 'issued', 'deposits', 'adjustments')),
    credit TEXT NOT NULL CHECK (credit IN ('funds', 'reserved', 'issued', 'deposits', 'adjustments')),
    amount_minor BIGINT NOT NULL CHECK (amount_minor > 0),
    reward_id UUID CHECK (substr(reward_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    program_id TEXT CHECK (program_id ~ '^prg_[a-z0-9_]{1,40}$'),
    note TEXT CHECK (length(note) <= 200 AND note !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    made_by TEXT CHECK (length(made_by) <= 100 AND made_by !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    CHECK (debit <> credit)
);

CREATE INDEX ledger_entries_of_account ON ledger_entries (account, id);

-- What finance and operators should hear of, oldest first; rewards have timelines of their own.
CREATE TABLE events (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at TIMESTAMPTZ NOT NULL,
    kind TEXT NOT NULL CHECK (kind !~ '[^a-z_.]'),
    subject TEXT NOT NULL CHECK (subject !~ '[^a-z0-9_.:-]' AND subject !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    data TEXT CHECK (length(data) <= 1024 AND data !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}')
);

CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END
$$;

CREATE TRIGGER ledger_entries_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- A key may be bound to one program: what it issues is charged there.
ALTER TABLE api_keys ADD COLUMN program_id TEXT REFERENCES programs (id) CHECK (program_id ~ '^prg_[a-z0-9_]{1,40}$');

-- Where a reward stands in the books, and which budgets it is charged to: the program, the API key in it, and the day.
ALTER TABLE rewards ADD COLUMN program_id TEXT REFERENCES programs (id) CHECK (program_id ~ '^prg_[a-z0-9_]{1,40}$');
ALTER TABLE rewards ADD COLUMN budget_key TEXT CHECK (budget_key ~ '^key_[0-9a-f]{32}$');
ALTER TABLE rewards ADD COLUMN budget_day TEXT CHECK (budget_day ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$');
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
