-- Memberships: a member pays for a period by Amazon Pay, and gets a reward for it.
--
-- `membership_plans`: what is paid and what is got; nothing of it changes but `closed_at`. `span` is `months` or `days`, and `span_length` how many.
-- `hold_days`: from the payment to the reward. `grace_days` and `retries`: for how long, and how often, a charge is made again that was declined for now.
--
-- `memberships`: one member. `intent` names it as its caller's Idempotency-Key does. `reference`: the caller's own, unique for a client. `anchor_on`: the day of
-- the account's time zone from which the periods from number `anchor_number` on are counted. `next_plan_id`: the plan from the next period on.
-- `due_at`: when the next period is opened; NULL while one is not paid, and while none is to be opened. `reason`: why it is not active, in a word.
--
-- `membership_periods`: `intent` is that of the charge that is asked for now, and names its payment before there is one. `tries` counts the charges. `due_at`:
-- when the next step of the charge is due; NULL when there is none. `entitlement`: where the reward stands; it begins in the transaction that proves the charge.
-- `reward_key`: the key of the reward, which derives from Amazon's id of the charge. `reward_due_at`: when the next step of the reward is due; `owed_since`: since when it
-- could have been asked for first.
-- `setbacks` counts the declines for now in a row. `simulation`: what Amazon's sandbox is to play in the next charge, and in this one. `claims` counts how often a step was
-- taken up. `refunded_minor`: what the member has got back.
--
-- A program of schema 7 knows none of these tables, and needs none.
CREATE TABLE membership_plans (
    id UUID NOT NULL PRIMARY KEY CHECK (substr(id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    client_id UUID NOT NULL REFERENCES clients (id) CHECK (substr(client_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    api_key_id UUID NOT NULL CHECK (substr(api_key_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    intent BYTEA NOT NULL CHECK (length(intent) = 20),
    name TEXT NOT NULL CHECK (length(name) <= 100 AND name !~ '[0-9A-Za-z]{4}-(?![0-9]{6}-[0-9]{4})[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    pay_account TEXT NOT NULL CHECK (length(pay_account) <= 32 AND pay_account !~ '[^a-z0-9_-]' AND pay_account !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    price_minor BIGINT NOT NULL CHECK (price_minor > 0),
    price_currency TEXT NOT NULL CHECK (length(price_currency) = 3),
    span TEXT NOT NULL CHECK (length(span) <= 32 AND span !~ '[^a-z_]'),
    span_length BIGINT NOT NULL CHECK (span_length BETWEEN 1 AND 366),
    account TEXT NOT NULL CHECK (length(account) <= 32 AND account !~ '[^a-z0-9_-]' AND account !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    program_id TEXT CHECK (length(program_id) <= 44 AND program_id !~ '[^a-z0-9_]'),
    reward_minor BIGINT NOT NULL CHECK (reward_minor > 0),
    reward_currency TEXT NOT NULL CHECK (length(reward_currency) = 3),
    hold_days BIGINT NOT NULL CHECK (hold_days BETWEEN 0 AND 366),
    grace_days BIGINT NOT NULL CHECK (grace_days BETWEEN 0 AND 366),
    retries BIGINT NOT NULL CHECK (retries BETWEEN 0 AND 30),
    created_at TIMESTAMPTZ NOT NULL,
    closed_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX membership_plans_of_intent ON membership_plans (intent);
CREATE INDEX membership_plans_of_client ON membership_plans (client_id, id);

CREATE TABLE memberships (
    id UUID NOT NULL PRIMARY KEY CHECK (substr(id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    client_id UUID NOT NULL REFERENCES clients (id) CHECK (substr(client_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    api_key_id UUID NOT NULL CHECK (substr(api_key_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    intent BYTEA NOT NULL CHECK (length(intent) = 20),
    plan_id UUID NOT NULL REFERENCES membership_plans (id) CHECK (substr(plan_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    next_plan_id UUID REFERENCES membership_plans (id) CHECK (substr(next_plan_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    consent_id TEXT NOT NULL CHECK (consent_id ~ '^[A-Z][0-9]{2}-[0-9]{7}-[0-9]{7}$'),
    reference TEXT NOT NULL CHECK (length(reference) <= 128 AND reference !~ '[0-9A-Za-z]{4}-(?![0-9]{6}-[0-9]{4})[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    state TEXT NOT NULL CHECK (length(state) <= 32 AND state !~ '[^a-z_]'),
    reason TEXT CHECK (length(reason) <= 32 AND reason !~ '[^a-z_]'),
    anchor_on DATE NOT NULL,
    anchor_number BIGINT NOT NULL CHECK (anchor_number > 0),
    periods BIGINT NOT NULL CHECK (periods >= 0),
    due_at TIMESTAMPTZ,
    simulation TEXT CHECK (length(simulation) <= 40 AND simulation ~ '^[A-Z][a-z][A-Za-z]*$'),
    version BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX memberships_of_intent ON memberships (intent);
CREATE UNIQUE INDEX memberships_named ON memberships (client_id, reference);
CREATE INDEX memberships_of_client ON memberships (client_id, id);
CREATE INDEX memberships_in_state ON memberships (client_id, state, id);
CREATE INDEX memberships_open ON memberships (state) WHERE ended_at IS NULL;
CREATE INDEX memberships_due ON memberships (due_at, id) WHERE due_at IS NOT NULL;

CREATE TABLE membership_periods (
    membership_id UUID NOT NULL REFERENCES memberships (id) CHECK (substr(membership_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    number BIGINT NOT NULL CHECK (number > 0),
    client_id UUID NOT NULL REFERENCES clients (id) CHECK (substr(client_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    plan_id UUID NOT NULL REFERENCES membership_plans (id) CHECK (substr(plan_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    starts_at TIMESTAMPTZ NOT NULL,
    ends_at TIMESTAMPTZ NOT NULL,
    state TEXT NOT NULL CHECK (length(state) <= 32 AND state !~ '[^a-z_]'),
    tries BIGINT NOT NULL CHECK (tries >= 0),
    setbacks BIGINT NOT NULL CHECK (setbacks >= 0),
    decline TEXT CHECK (length(decline) <= 32 AND decline !~ '[^a-z_]'),
    waiting_for TEXT CHECK (length(waiting_for) <= 40 AND waiting_for !~ '[^a-z-]'),
    intent BYTEA CHECK (intent IS NULL OR length(intent) = 20),
    simulation TEXT CHECK (length(simulation) <= 40 AND simulation ~ '^[A-Z][a-z][A-Za-z]*$'),
    payment_id UUID CHECK (substr(payment_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    refunded_minor BIGINT NOT NULL CHECK (refunded_minor >= 0),
    due_at TIMESTAMPTZ,
    paid_at TIMESTAMPTZ,
    entitlement TEXT NOT NULL CHECK (length(entitlement) <= 32 AND entitlement !~ '[^a-z_]'),
    reward_key TEXT CHECK (reward_key ~ '^membership:[A-Z][0-9]{2}-[0-9]{7}-[0-9]{7}-[A-Z][0-9]{1,11}$'),
    reward_id UUID CHECK (substr(reward_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    reward_due_at TIMESTAMPTZ,
    owed_since TIMESTAMPTZ,
    claims BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (membership_id, number)
);
CREATE UNIQUE INDEX membership_periods_of_intent ON membership_periods (intent) WHERE intent IS NOT NULL;
CREATE INDEX membership_periods_paid_by ON membership_periods (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX membership_periods_due ON membership_periods (due_at, membership_id) WHERE due_at IS NOT NULL;
CREATE INDEX membership_periods_owed ON membership_periods (reward_due_at, membership_id) WHERE reward_due_at IS NOT NULL;
