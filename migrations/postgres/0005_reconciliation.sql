-- Reconciliation: Amazon's own activity report, or a file of its portal, against our rewards.

-- Rewards by Amazon's name for them, and by when they were proven: what a report is compared with.
CREATE INDEX rewards_request ON rewards (creation_request_id);

CREATE INDEX rewards_issued ON rewards (account, issued_at, id) WHERE issued_at IS NOT NULL;

-- When a page of the activity report may be asked for again, in microseconds since 1970.
ALTER TABLE upstream ADD COLUMN next_activity_us BIGINT NOT NULL DEFAULT 0;

-- One row per run. At most one runs per account; whoever holds the lease writes. What a run found holds only once it is
-- `finished`: a failed one leaves nothing behind but its reason.
-- `unproven`: rewards whose outcome is open, counted apart. `unchecked`: what the period's edge kept from being compared.
-- `ours_minor`, `theirs_minor`: the value of live cards on either side, in minor units; their difference is the difference.
CREATE TABLE reconciliations (
    id UUID NOT NULL CHECK (substr(id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    account TEXT NOT NULL CHECK (account !~ '[^a-z0-9_-]' AND account !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    partner_id TEXT NOT NULL CHECK (length(partner_id) BETWEEN 1 AND 8 AND partner_id !~ '[^0-9A-Za-z]'),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    source TEXT NOT NULL CHECK (source IN ('amazon', 'csv')),
    daily BOOLEAN NOT NULL,
    period_from TIMESTAMPTZ NOT NULL,
    period_to TIMESTAMPTZ NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'finished', 'failed')),
    failure TEXT CHECK (failure !~ '[^a-z_]'),
    lease_token UUID CHECK (substr(lease_token::text, 20, 1) IN ('8', '9', 'a', 'b')),
    lease_until TIMESTAMPTZ,
    started_at TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ,
    records BIGINT NOT NULL DEFAULT 0,
    matched BIGINT NOT NULL DEFAULT 0,
    ours_only BIGINT NOT NULL DEFAULT 0,
    theirs_only BIGINT NOT NULL DEFAULT 0,
    amount_differs BIGINT NOT NULL DEFAULT 0,
    state_differs BIGINT NOT NULL DEFAULT 0,
    unproven BIGINT NOT NULL DEFAULT 0,
    unchecked BIGINT NOT NULL DEFAULT 0,
    adopted BIGINT NOT NULL DEFAULT 0,
    ours_minor BIGINT NOT NULL DEFAULT 0,
    theirs_minor BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (id)
);

CREATE UNIQUE INDEX reconciliations_running ON reconciliations (account) WHERE state = 'running';

-- A day is reconciled by itself once, whichever replica comes first.
CREATE UNIQUE INDEX reconciliations_daily ON reconciliations (account, period_from) WHERE daily AND state <> 'failed';

CREATE INDEX reconciliations_newest ON reconciliations (account, period_to, ended_at) WHERE state = 'finished';

-- What differs, and what is open. `request_id` begins with the partner id, as Amazon demands of every id; of one that does
-- not, a hash stands behind it. `reward_id` is ours, or the row that was made for a card that only Amazon knew.
CREATE TABLE reconciliation_items (
    reconciliation_id UUID NOT NULL REFERENCES reconciliations (id) CHECK (substr(reconciliation_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    seq BIGINT NOT NULL,
    class TEXT NOT NULL CHECK (class IN ('ours_only', 'theirs_only', 'amount_differs', 'state_differs', 'unproven')),
    partner_id TEXT NOT NULL CHECK (length(partner_id) BETWEEN 1 AND 8 AND partner_id !~ '[^0-9A-Za-z]'),
    request_id TEXT NOT NULL CHECK (length(request_id) <= 48 AND substr(request_id, 1, length(partner_id)) = partner_id AND length(request_id) > length(partner_id) AND request_id !~ '[^0-9A-Za-z_#-]' AND request_id !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    reward_id UUID CHECK (substr(reward_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    ours_state TEXT CHECK (ours_state IN ('pending', 'issuing', 'unresolved', 'issued', 'failed', 'canceling', 'canceled', 'needs_attention')),
    theirs_state TEXT CHECK (theirs_state IN ('live', 'canceled', 'bought_again')),
    ours_minor BIGINT,
    theirs_minor BIGINT,
    at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (reconciliation_id, seq)
);

-- What Amazon has shown so far, one row per request id, while a run is under way; so that neither side is ever in memory.
CREATE TABLE reconciliation_seen (
    reconciliation_id UUID NOT NULL REFERENCES reconciliations (id) CHECK (substr(reconciliation_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    partner_id TEXT NOT NULL CHECK (length(partner_id) BETWEEN 1 AND 8 AND partner_id !~ '[^0-9A-Za-z]'),
    request_id TEXT NOT NULL CHECK (length(request_id) <= 48 AND substr(request_id, 1, length(partner_id)) = partner_id AND length(request_id) > length(partner_id) AND request_id !~ '[^0-9A-Za-z_#-]' AND request_id !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    created_at TIMESTAMPTZ,
    amount_minor BIGINT,
    canceled_at TIMESTAMPTZ,
    PRIMARY KEY (reconciliation_id, request_id)
);
