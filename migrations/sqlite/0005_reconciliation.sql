-- Reconciliation: Amazon's own activity report, or a file of its portal, against our rewards.

-- Rewards by Amazon's name for them, and by when they were proven: what a report is compared with.
CREATE INDEX rewards_request ON rewards (creation_request_id);

CREATE INDEX rewards_issued ON rewards (account, issued_at, id) WHERE issued_at IS NOT NULL;

-- When a page of the activity report may be asked for again, in microseconds since 1970.
ALTER TABLE upstream ADD COLUMN next_activity_us INTEGER NOT NULL DEFAULT 0;

-- One row per run. At most one runs per account; whoever holds the lease writes. What a run found holds only once it is
-- `finished`: a failed one leaves nothing behind but its reason.
-- `unproven`: rewards whose outcome is open, counted apart. `unchecked`: what the period's edge kept from being compared.
-- `ours_minor`, `theirs_minor`: the value of live cards on either side, in minor units; their difference is the difference.
CREATE TABLE reconciliations (
    id BLOB NOT NULL CHECK (length(id) = 16 AND substr(hex(id), 17, 1) IN ('8', '9', 'A', 'B')),
    account TEXT NOT NULL CHECK (account NOT GLOB '*[^a-z0-9_-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    partner_id TEXT NOT NULL CHECK (length(partner_id) BETWEEN 1 AND 8 AND partner_id NOT GLOB '*[^0-9A-Za-z]*'),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    source TEXT NOT NULL CHECK (source IN ('amazon', 'csv')),
    daily INTEGER NOT NULL CHECK (daily IN (0, 1)),
    period_from TEXT NOT NULL CHECK (period_from GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(period_from, 12) NOT GLOB '*[^0-9:.+]*'),
    period_to TEXT NOT NULL CHECK (period_to GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(period_to, 12) NOT GLOB '*[^0-9:.+]*'),
    state TEXT NOT NULL CHECK (state IN ('running', 'finished', 'failed')),
    failure TEXT CHECK (failure NOT GLOB '*[^a-z_]*'),
    lease_token BLOB CHECK (lease_token IS NULL OR length(lease_token) = 16 AND substr(hex(lease_token), 17, 1) IN ('8', '9', 'A', 'B')),
    lease_until TEXT CHECK (lease_until GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(lease_until, 12) NOT GLOB '*[^0-9:.+]*'),
    started_at TEXT NOT NULL CHECK (started_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(started_at, 12) NOT GLOB '*[^0-9:.+]*'),
    ended_at TEXT CHECK (ended_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(ended_at, 12) NOT GLOB '*[^0-9:.+]*'),
    records INTEGER NOT NULL DEFAULT 0,
    matched INTEGER NOT NULL DEFAULT 0,
    ours_only INTEGER NOT NULL DEFAULT 0,
    theirs_only INTEGER NOT NULL DEFAULT 0,
    amount_differs INTEGER NOT NULL DEFAULT 0,
    state_differs INTEGER NOT NULL DEFAULT 0,
    unproven INTEGER NOT NULL DEFAULT 0,
    unchecked INTEGER NOT NULL DEFAULT 0,
    adopted INTEGER NOT NULL DEFAULT 0,
    ours_minor INTEGER NOT NULL DEFAULT 0,
    theirs_minor INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (id)
) STRICT;

CREATE UNIQUE INDEX reconciliations_running ON reconciliations (account) WHERE state = 'running';

-- A day is reconciled by itself once, whichever replica comes first.
CREATE UNIQUE INDEX reconciliations_daily ON reconciliations (account, period_from) WHERE daily = 1 AND state <> 'failed';

CREATE INDEX reconciliations_newest ON reconciliations (account, period_to, ended_at) WHERE state = 'finished';

-- What differs, and what is open. `request_id` begins with the partner id, as Amazon demands of every id; of one that does
-- not, a hash stands behind it. `reward_id` is ours, or the row that was made for a card that only Amazon knew.
CREATE TABLE reconciliation_items (
    reconciliation_id BLOB NOT NULL REFERENCES reconciliations (id) CHECK (length(reconciliation_id) = 16 AND substr(hex(reconciliation_id), 17, 1) IN ('8', '9', 'A', 'B')),
    seq INTEGER NOT NULL,
    class TEXT NOT NULL CHECK (class IN ('ours_only', 'theirs_only', 'amount_differs', 'state_differs', 'unproven')),
    partner_id TEXT NOT NULL CHECK (length(partner_id) BETWEEN 1 AND 8 AND partner_id NOT GLOB '*[^0-9A-Za-z]*'),
    request_id TEXT NOT NULL CHECK (length(request_id) <= 48 AND substr(request_id, 1, length(partner_id)) = partner_id AND length(request_id) > length(partner_id) AND request_id NOT GLOB '*[^0-9A-Za-z_#-]*' AND request_id NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    reward_id BLOB CHECK (reward_id IS NULL OR length(reward_id) = 16 AND substr(hex(reward_id), 17, 1) IN ('8', '9', 'A', 'B')),
    ours_state TEXT CHECK (ours_state IN ('pending', 'issuing', 'unresolved', 'issued', 'failed', 'canceling', 'canceled', 'needs_attention')),
    theirs_state TEXT CHECK (theirs_state IN ('live', 'canceled', 'bought_again')),
    ours_minor INTEGER,
    theirs_minor INTEGER,
    at TEXT NOT NULL CHECK (at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(at, 12) NOT GLOB '*[^0-9:.+]*'),
    PRIMARY KEY (reconciliation_id, seq)
) STRICT;

-- What Amazon has shown so far, one row per request id, while a run is under way; so that neither side is ever in memory.
CREATE TABLE reconciliation_seen (
    reconciliation_id BLOB NOT NULL REFERENCES reconciliations (id) CHECK (length(reconciliation_id) = 16 AND substr(hex(reconciliation_id), 17, 1) IN ('8', '9', 'A', 'B')),
    partner_id TEXT NOT NULL CHECK (length(partner_id) BETWEEN 1 AND 8 AND partner_id NOT GLOB '*[^0-9A-Za-z]*'),
    request_id TEXT NOT NULL CHECK (length(request_id) <= 48 AND substr(request_id, 1, length(partner_id)) = partner_id AND length(request_id) > length(partner_id) AND request_id NOT GLOB '*[^0-9A-Za-z_#-]*' AND request_id NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    created_at TEXT CHECK (created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(created_at, 12) NOT GLOB '*[^0-9:.+]*'),
    amount_minor INTEGER,
    canceled_at TEXT CHECK (canceled_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(canceled_at, 12) NOT GLOB '*[^0-9:.+]*'),
    PRIMARY KEY (reconciliation_id, request_id)
) STRICT;
