-- What is reconciled is a set of days, and a deposit is what two observations some minutes apart agree on.

-- Days that failed: how often, and when last.
CREATE INDEX reconciliations_failed ON reconciliations (account, period_from) WHERE state = 'failed';

-- Days without a reconciliation that a person has accepted. Who did and why is a fact, `reconciliation.days_accepted`.
CREATE TABLE reconciliation_accepted_days (
    account TEXT NOT NULL CHECK (account !~ '[^a-z0-9_.:-]' AND account !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    day TIMESTAMPTZ NOT NULL,
    accepted_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (account, day)
);

-- Amazon's own time of the balance, by our clock. `as_of` is when we asked. The release before does not write it: it counts only where
-- `reported_for` is the row's `as_of`.
ALTER TABLE balances ADD COLUMN reported_at TIMESTAMPTZ;

ALTER TABLE balances ADD COLUMN reported_for TIMESTAMPTZ;

ALTER TABLE balance_observations ADD COLUMN reported_at TIMESTAMPTZ;

-- An account whose observations differ from the ledger, until they have agreed on it for some minutes. `since`,
-- `amazon_since`: the first question, by our clock, and its answer, by Amazon's. The sums are the ledger's before that observation.
-- `least_minor`, `most_minor`: what all observations since allow to have been paid in beyond what is booked.
CREATE TABLE balance_windows (
    account TEXT NOT NULL CHECK (account !~ '[^a-z0-9_.:-]' AND account !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    since TIMESTAMPTZ NOT NULL,
    amazon_since TIMESTAMPTZ,
    least_minor BIGINT NOT NULL,
    most_minor BIGINT NOT NULL,
    expected_minor BIGINT NOT NULL,
    on_the_way_minor BIGINT NOT NULL,
    opening_minor BIGINT NOT NULL,
    deposits_minor BIGINT NOT NULL,
    adjustments_minor BIGINT NOT NULL,
    reserved_minor BIGINT NOT NULL,
    canceled_minor BIGINT NOT NULL,
    PRIMARY KEY (account, currency)
);
