-- What is reconciled is a set of days, and a deposit is what two observations some minutes apart agree on.

-- Days that failed: how often, and when last.
CREATE INDEX reconciliations_failed ON reconciliations (account, period_from) WHERE state = 'failed';

-- Days without a reconciliation that a person has accepted. Who did and why is a fact, `reconciliation.days_accepted`.
CREATE TABLE reconciliation_accepted_days (
    account TEXT NOT NULL CHECK (account NOT GLOB '*[^a-z0-9_.:-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    day TEXT NOT NULL CHECK (day GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(day, 12) NOT GLOB '*[^0-9:.+]*'),
    accepted_at TEXT NOT NULL CHECK (accepted_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(accepted_at, 12) NOT GLOB '*[^0-9:.+]*'),
    PRIMARY KEY (account, day)
) STRICT;

-- Amazon's own time of the balance, by our clock. `as_of` is when we asked. The release before does not write it: it counts only where
-- `reported_for` is the row's `as_of`.
ALTER TABLE balances ADD COLUMN reported_at TEXT CHECK (reported_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(reported_at, 12) NOT GLOB '*[^0-9:.+]*');

ALTER TABLE balances ADD COLUMN reported_for TEXT CHECK (reported_for GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(reported_for, 12) NOT GLOB '*[^0-9:.+]*');

ALTER TABLE balance_observations ADD COLUMN reported_at TEXT CHECK (reported_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(reported_at, 12) NOT GLOB '*[^0-9:.+]*');

-- An account whose observations differ from the ledger, until they have agreed on it for some minutes. `since`,
-- `amazon_since`: the first question, by our clock, and its answer, by Amazon's. The sums are the ledger's before that observation.
-- `least_minor`, `most_minor`: what all observations since allow to have been paid in beyond what is booked.
CREATE TABLE balance_windows (
    account TEXT NOT NULL CHECK (account NOT GLOB '*[^a-z0-9_.:-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    since TEXT NOT NULL CHECK (since GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(since, 12) NOT GLOB '*[^0-9:.+]*'),
    amazon_since TEXT CHECK (amazon_since GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(amazon_since, 12) NOT GLOB '*[^0-9:.+]*'),
    least_minor INTEGER NOT NULL,
    most_minor INTEGER NOT NULL,
    expected_minor INTEGER NOT NULL,
    on_the_way_minor INTEGER NOT NULL,
    opening_minor INTEGER NOT NULL,
    deposits_minor INTEGER NOT NULL,
    adjustments_minor INTEGER NOT NULL,
    reserved_minor INTEGER NOT NULL,
    canceled_minor INTEGER NOT NULL,
    PRIMARY KEY (account, currency)
) STRICT;
