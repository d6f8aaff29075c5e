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
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16 AND substr(hex(id), 17, 1) IN ('8', '9', 'A', 'B')),
    client_id BLOB NOT NULL REFERENCES clients (id) CHECK (length(client_id) = 16 AND substr(hex(client_id), 17, 1) IN ('8', '9', 'A', 'B')),
    api_key_id BLOB NOT NULL CHECK (length(api_key_id) = 16 AND substr(hex(api_key_id), 17, 1) IN ('8', '9', 'A', 'B')),
    intent BLOB NOT NULL CHECK (length(intent) = 20),
    name TEXT NOT NULL CHECK (length(name) <= 100 AND name NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND name NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND name NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND name NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND name NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND name NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND name NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND name NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND name NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z]*'
        AND name NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z]*'),
    pay_account TEXT NOT NULL CHECK (length(pay_account) <= 32 AND pay_account NOT GLOB '*[^a-z0-9_-]*' AND pay_account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    price_minor INTEGER NOT NULL CHECK (price_minor > 0),
    price_currency TEXT NOT NULL CHECK (length(price_currency) = 3),
    span TEXT NOT NULL CHECK (length(span) <= 32 AND span NOT GLOB '*[^a-z_]*'),
    span_length INTEGER NOT NULL CHECK (span_length BETWEEN 1 AND 366),
    account TEXT NOT NULL CHECK (length(account) <= 32 AND account NOT GLOB '*[^a-z0-9_-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    program_id TEXT CHECK (length(program_id) <= 44 AND program_id NOT GLOB '*[^a-z0-9_]*'),
    reward_minor INTEGER NOT NULL CHECK (reward_minor > 0),
    reward_currency TEXT NOT NULL CHECK (length(reward_currency) = 3),
    hold_days INTEGER NOT NULL CHECK (hold_days BETWEEN 0 AND 366),
    grace_days INTEGER NOT NULL CHECK (grace_days BETWEEN 0 AND 366),
    retries INTEGER NOT NULL CHECK (retries BETWEEN 0 AND 30),
    created_at TEXT NOT NULL CHECK (created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(created_at, 12) NOT GLOB '*[^0-9:.+]*'),
    closed_at TEXT CHECK (closed_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(closed_at, 12) NOT GLOB '*[^0-9:.+]*')
) STRICT;
CREATE UNIQUE INDEX membership_plans_of_intent ON membership_plans (intent);
CREATE INDEX membership_plans_of_client ON membership_plans (client_id, id);

CREATE TABLE memberships (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16 AND substr(hex(id), 17, 1) IN ('8', '9', 'A', 'B')),
    client_id BLOB NOT NULL REFERENCES clients (id) CHECK (length(client_id) = 16 AND substr(hex(client_id), 17, 1) IN ('8', '9', 'A', 'B')),
    api_key_id BLOB NOT NULL CHECK (length(api_key_id) = 16 AND substr(hex(api_key_id), 17, 1) IN ('8', '9', 'A', 'B')),
    intent BLOB NOT NULL CHECK (length(intent) = 20),
    plan_id BLOB NOT NULL REFERENCES membership_plans (id) CHECK (length(plan_id) = 16 AND substr(hex(plan_id), 17, 1) IN ('8', '9', 'A', 'B')),
    next_plan_id BLOB REFERENCES membership_plans (id) CHECK (next_plan_id IS NULL OR length(next_plan_id) = 16 AND substr(hex(next_plan_id), 17, 1) IN ('8', '9', 'A', 'B')),
    consent_id TEXT NOT NULL CHECK (length(consent_id) = 19 AND consent_id GLOB '[A-Z][0-9][0-9]-[0-9][0-9][0-9][0-9][0-9][0-9][0-9]-[0-9][0-9][0-9][0-9][0-9][0-9][0-9]'),
    reference TEXT NOT NULL CHECK (length(reference) <= 128 AND reference NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND reference NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND reference NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND reference NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND reference NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND reference NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND reference NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND reference NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND reference NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z]*'
        AND reference NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z]*'),
    state TEXT NOT NULL CHECK (length(state) <= 32 AND state NOT GLOB '*[^a-z_]*'),
    reason TEXT CHECK (length(reason) <= 32 AND reason NOT GLOB '*[^a-z_]*'),
    anchor_on TEXT NOT NULL CHECK (anchor_on GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'),
    anchor_number INTEGER NOT NULL CHECK (anchor_number > 0),
    periods INTEGER NOT NULL CHECK (periods >= 0),
    due_at TEXT CHECK (due_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(due_at, 12) NOT GLOB '*[^0-9:.+]*'),
    simulation TEXT CHECK (length(simulation) <= 40 AND simulation GLOB '[A-Z][a-z]*' AND simulation NOT GLOB '*[^A-Za-z]*'),
    version INTEGER NOT NULL,
    created_at TEXT NOT NULL CHECK (created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(created_at, 12) NOT GLOB '*[^0-9:.+]*'),
    updated_at TEXT NOT NULL CHECK (updated_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(updated_at, 12) NOT GLOB '*[^0-9:.+]*'),
    ended_at TEXT CHECK (ended_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(ended_at, 12) NOT GLOB '*[^0-9:.+]*')
) STRICT;
CREATE UNIQUE INDEX memberships_of_intent ON memberships (intent);
CREATE UNIQUE INDEX memberships_named ON memberships (client_id, reference);
CREATE INDEX memberships_of_client ON memberships (client_id, id);
CREATE INDEX memberships_in_state ON memberships (client_id, state, id);
CREATE INDEX memberships_open ON memberships (state) WHERE ended_at IS NULL;
CREATE INDEX memberships_due ON memberships (due_at, id) WHERE due_at IS NOT NULL;

CREATE TABLE membership_periods (
    membership_id BLOB NOT NULL REFERENCES memberships (id) CHECK (length(membership_id) = 16 AND substr(hex(membership_id), 17, 1) IN ('8', '9', 'A', 'B')),
    number INTEGER NOT NULL CHECK (number > 0),
    client_id BLOB NOT NULL REFERENCES clients (id) CHECK (length(client_id) = 16 AND substr(hex(client_id), 17, 1) IN ('8', '9', 'A', 'B')),
    plan_id BLOB NOT NULL REFERENCES membership_plans (id) CHECK (length(plan_id) = 16 AND substr(hex(plan_id), 17, 1) IN ('8', '9', 'A', 'B')),
    starts_at TEXT NOT NULL CHECK (starts_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(starts_at, 12) NOT GLOB '*[^0-9:.+]*'),
    ends_at TEXT NOT NULL CHECK (ends_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(ends_at, 12) NOT GLOB '*[^0-9:.+]*'),
    state TEXT NOT NULL CHECK (length(state) <= 32 AND state NOT GLOB '*[^a-z_]*'),
    tries INTEGER NOT NULL CHECK (tries >= 0),
    setbacks INTEGER NOT NULL CHECK (setbacks >= 0),
    decline TEXT CHECK (length(decline) <= 32 AND decline NOT GLOB '*[^a-z_]*'),
    waiting_for TEXT CHECK (length(waiting_for) <= 40 AND waiting_for NOT GLOB '*[^a-z-]*'),
    intent BLOB CHECK (intent IS NULL OR length(intent) = 20),
    simulation TEXT CHECK (length(simulation) <= 40 AND simulation GLOB '[A-Z][a-z]*' AND simulation NOT GLOB '*[^A-Za-z]*'),
    payment_id BLOB CHECK (payment_id IS NULL OR length(payment_id) = 16 AND substr(hex(payment_id), 17, 1) IN ('8', '9', 'A', 'B')),
    refunded_minor INTEGER NOT NULL CHECK (refunded_minor >= 0),
    due_at TEXT CHECK (due_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(due_at, 12) NOT GLOB '*[^0-9:.+]*'),
    paid_at TEXT CHECK (paid_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(paid_at, 12) NOT GLOB '*[^0-9:.+]*'),
    entitlement TEXT NOT NULL CHECK (length(entitlement) <= 32 AND entitlement NOT GLOB '*[^a-z_]*'),
    reward_key TEXT CHECK (length(reward_key) BETWEEN 33 AND 43 AND substr(reward_key, 1, 30) GLOB 'membership:[A-Z][0-9][0-9]-[0-9][0-9][0-9][0-9][0-9][0-9][0-9]-[0-9][0-9][0-9][0-9][0-9][0-9][0-9]' AND substr(reward_key, 31) GLOB '-[A-Z]*' AND substr(reward_key, 33) NOT GLOB '*[^0-9]*'),
    reward_id BLOB CHECK (reward_id IS NULL OR length(reward_id) = 16 AND substr(hex(reward_id), 17, 1) IN ('8', '9', 'A', 'B')),
    reward_due_at TEXT CHECK (reward_due_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(reward_due_at, 12) NOT GLOB '*[^0-9:.+]*'),
    owed_since TEXT CHECK (owed_since GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(owed_since, 12) NOT GLOB '*[^0-9:.+]*'),
    claims INTEGER NOT NULL,
    created_at TEXT NOT NULL CHECK (created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(created_at, 12) NOT GLOB '*[^0-9:.+]*'),
    updated_at TEXT NOT NULL CHECK (updated_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(updated_at, 12) NOT GLOB '*[^0-9:.+]*'),
    PRIMARY KEY (membership_id, number)
) STRICT;
CREATE UNIQUE INDEX membership_periods_of_intent ON membership_periods (intent) WHERE intent IS NOT NULL;
CREATE INDEX membership_periods_paid_by ON membership_periods (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX membership_periods_due ON membership_periods (due_at, membership_id) WHERE due_at IS NOT NULL;
CREATE INDEX membership_periods_owed ON membership_periods (reward_due_at, membership_id) WHERE reward_due_at IS NOT NULL;
