-- What all replicas must agree on before they call Amazon for an account: one row each.
--
-- `next_send_us`: when the next request may leave, in microseconds since 1970; taking it moves it on by the account's
-- spacing. `urgent_until_us`: until then cancels and recovery go first. `next_funds_us`: when the balance may be asked
-- for again. `breaker`: why new rewards are refused until `breaker_until_us`, when one may try.
CREATE TABLE upstream (
    account TEXT NOT NULL PRIMARY KEY CHECK (account NOT GLOB '*[^a-z0-9_-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    next_send_us INTEGER NOT NULL,
    urgent_until_us INTEGER NOT NULL,
    next_funds_us INTEGER NOT NULL,
    breaker TEXT CHECK (breaker IN ('funds', 'account')),
    breaker_until_us INTEGER NOT NULL
) STRICT;
