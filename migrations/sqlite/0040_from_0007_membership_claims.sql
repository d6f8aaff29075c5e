-- What a membership needs beside its row: the claim to its buyer's consent, a rest of its own, the day of the month that is meant, and another reward
-- for a period whose reward was refused for good.
--
-- `membership_consents`: which membership a consent of a buyer's serves: one at a time. A row is taken over once its membership is over, unless the consent is
-- being closed. A membership of a program that knows no claims has none: whoever claims looks for such rows (`memberships_consented`). `close_since`: since
-- when the consent is to be closed at Amazon, because its membership was ended; `close_at`: when the next try is due, NULL when there is none; `tries` counts them.
--
-- `memberships.resting_until`: the next period could not be opened, and is not looked at before; `opening_failures`: how often in a row. `due_at` stays what it
-- is: when that period begins. `anchor_day`: the day of the month that is meant where `anchor_on` is the last day of a month that has none of it.
--
-- `membership_periods.reward_round`: how often an operator had the reward asked for anew; each round has a key of its own.
--
-- A program of schema 7 knows no memberships. One of schema 38 fills none of these columns: it counts from `anchor_on` alone, and asks for no further reward.
CREATE TABLE membership_consents (
    consent_id TEXT NOT NULL PRIMARY KEY CHECK (length(consent_id) = 19 AND consent_id GLOB '[A-Z][0-9][0-9]-[0-9][0-9][0-9][0-9][0-9][0-9][0-9]-[0-9][0-9][0-9][0-9][0-9][0-9][0-9]'),
    membership_id BLOB NOT NULL REFERENCES memberships (id) CHECK (length(membership_id) = 16 AND substr(hex(membership_id), 17, 1) IN ('8', '9', 'A', 'B')),
    close_since TEXT CHECK (close_since GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(close_since, 12) NOT GLOB '*[^0-9:.+]*'),
    close_at TEXT CHECK (close_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(close_at, 12) NOT GLOB '*[^0-9:.+]*'),
    tries INTEGER NOT NULL CHECK (tries >= 0),
    created_at TEXT NOT NULL CHECK (created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(created_at, 12) NOT GLOB '*[^0-9:.+]*'),
    updated_at TEXT NOT NULL CHECK (updated_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(updated_at, 12) NOT GLOB '*[^0-9:.+]*')
) STRICT;
CREATE INDEX membership_consents_closing ON membership_consents (close_at) WHERE close_at IS NOT NULL;

ALTER TABLE memberships ADD COLUMN resting_until TEXT CHECK (resting_until GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(resting_until, 12) NOT GLOB '*[^0-9:.+]*');
ALTER TABLE memberships ADD COLUMN opening_failures INTEGER NOT NULL DEFAULT 0 CHECK (opening_failures >= 0);
ALTER TABLE memberships ADD COLUMN anchor_day INTEGER CHECK (anchor_day BETWEEN 29 AND 31);
CREATE INDEX memberships_consented ON memberships (consent_id, id) WHERE ended_at IS NULL;
CREATE INDEX memberships_of_plan ON memberships (client_id, plan_id, id);
CREATE INDEX memberships_to_open ON memberships (COALESCE(resting_until, due_at), id) WHERE due_at IS NOT NULL;

ALTER TABLE membership_periods ADD COLUMN reward_round INTEGER NOT NULL DEFAULT 0 CHECK (reward_round BETWEEN 0 AND 99);
CREATE INDEX membership_periods_failed ON membership_periods (membership_id, number) WHERE entitlement = 'failed' AND state = 'paid';
