-- The first schema: clients and their keys, rewards and their timeline, the last known balances.
--
-- No column can hold a claim code. Each text column is limited by a CHECK to words or digits that no code is made of, or
-- refuses text shaped like one (4-6-4); each byte column has a length or a marker that no code has. A test tries them all.

-- The callers of our API. Idempotency keys and rewards belong to one.
CREATE TABLE clients (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16 AND substr(hex(id), 17, 1) IN ('8', '9', 'A', 'B')),
    name TEXT NOT NULL UNIQUE CHECK (length(name) <= 100 AND name NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    created_at TEXT NOT NULL CHECK (created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(created_at, 12) NOT GLOB '*[^0-9:.+]*')
) STRICT;

-- API keys. The secret has 256 random bits, so a plain hash keeps it (ASVS 6.5.2); it is shown once and never stored.
CREATE TABLE api_keys (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16 AND substr(hex(id), 17, 1) IN ('8', '9', 'A', 'B')),
    client_id BLOB NOT NULL REFERENCES clients (id) CHECK (length(client_id) = 16 AND substr(hex(client_id), 17, 1) IN ('8', '9', 'A', 'B')),
    name TEXT NOT NULL CHECK (length(name) <= 100 AND name NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    secret_sha256 BLOB NOT NULL CHECK (length(secret_sha256) = 32),
    scopes TEXT NOT NULL CHECK (scopes NOT GLOB '*[^a-z_: ]*'),
    created_at TEXT NOT NULL CHECK (created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(created_at, 12) NOT GLOB '*[^0-9:.+]*'),
    expires_at TEXT CHECK (expires_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(expires_at, 12) NOT GLOB '*[^0-9:.+]*'),
    revoked_at TEXT CHECK (revoked_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(revoked_at, 12) NOT GLOB '*[^0-9:.+]*')
) STRICT;

-- One row per intent. `intent` is the hash of (client, idempotency key): its uniqueness is what makes a request buy at
-- most one card. Never deleted while Amazon may remember the id.
-- `due_at`: when automation takes the row up: the end of its lease or of its back-off. Null: nothing to do.
-- `cancel_doubt`: an attempt to cancel ended unknown. `ambiguous`: so did an attempt to create, and none was proven.
CREATE TABLE rewards (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16 AND substr(hex(id), 17, 1) IN ('8', '9', 'A', 'B')),
    client_id BLOB NOT NULL REFERENCES clients (id) CHECK (length(client_id) = 16 AND substr(hex(client_id), 17, 1) IN ('8', '9', 'A', 'B')),
    intent BLOB NOT NULL UNIQUE CHECK (length(intent) = 20),
    account TEXT NOT NULL CHECK (account NOT GLOB '*[^a-z0-9_.:-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    marketplace TEXT NOT NULL CHECK (length(marketplace) BETWEEN 2 AND 3 AND marketplace NOT GLOB '*[^A-Z]*'),
    environment TEXT NOT NULL CHECK (environment IN ('sandbox', 'production')),
    creation_request_id TEXT NOT NULL CHECK (creation_request_id NOT GLOB '*[^0-9A-Za-z]*' AND (length(creation_request_id) = 5 OR length(creation_request_id) BETWEEN 33 AND 40)),
    kind TEXT NOT NULL CHECK (kind IN ('gift_code')),
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    external_id TEXT CHECK (length(external_id) <= 128 AND external_id NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    metadata TEXT CHECK (length(metadata) <= 2048 AND metadata NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    on_unresolved TEXT NOT NULL CHECK (on_unresolved IN ('keep', 'cancel')),
    state TEXT NOT NULL CHECK (state IN ('pending', 'issuing', 'unresolved', 'issued', 'failed', 'canceling', 'canceled', 'needs_attention')),
    version INTEGER NOT NULL,
    ambiguous INTEGER NOT NULL CHECK (ambiguous IN (0, 1)),
    cancel_requested INTEGER NOT NULL CHECK (cancel_requested IN (0, 1)),
    cancel_doubt INTEGER NOT NULL CHECK (cancel_doubt IN (0, 1)),
    cancel_failure TEXT CHECK (cancel_failure NOT GLOB '*[^a-z0-9_.:-]*' AND cancel_failure NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    attention TEXT CHECK (attention NOT GLOB '*[^a-z0-9_.:-]*' AND attention NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    error_code TEXT CHECK (error_code IN ('F100', 'F200', 'F300', 'F400', 'F500') OR error_code NOT GLOB '*[^a-z_]*'),
    error_type TEXT CHECK (error_type GLOB '[A-Z][a-z]*' AND error_type NOT GLOB '*[^A-Za-z]*'),
    attempts INTEGER NOT NULL,
    deliveries INTEGER NOT NULL,
    events INTEGER NOT NULL,
    lease_token BLOB CHECK (lease_token IS NULL OR length(lease_token) = 16 AND substr(hex(lease_token), 17, 1) IN ('8', '9', 'A', 'B')),
    due_at TEXT CHECK (due_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(due_at, 12) NOT GLOB '*[^0-9:.+]*'),
    created_at TEXT NOT NULL CHECK (created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(created_at, 12) NOT GLOB '*[^0-9:.+]*'),
    updated_at TEXT NOT NULL CHECK (updated_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(updated_at, 12) NOT GLOB '*[^0-9:.+]*'),
    first_send_at TEXT CHECK (first_send_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(first_send_at, 12) NOT GLOB '*[^0-9:.+]*'),
    unproven_since TEXT CHECK (unproven_since GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(unproven_since, 12) NOT GLOB '*[^0-9:.+]*'),
    issued_at TEXT CHECK (issued_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(issued_at, 12) NOT GLOB '*[^0-9:.+]*'),
    canceled_at TEXT CHECK (canceled_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(canceled_at, 12) NOT GLOB '*[^0-9:.+]*')
) STRICT;

CREATE UNIQUE INDEX rewards_external_id ON rewards (client_id, external_id) WHERE external_id IS NOT NULL;

CREATE INDEX rewards_of_client ON rewards (client_id, id);

-- What the worker looks for: small, because finished rewards are not in it.
CREATE INDEX rewards_due ON rewards (due_at) WHERE due_at IS NOT NULL;

CREATE INDEX rewards_attention ON rewards (id) WHERE state = 'needs_attention';

-- The timeline of each reward: written in the transaction that made it true, never changed.
CREATE TABLE reward_events (
    reward_id BLOB NOT NULL REFERENCES rewards (id) CHECK (length(reward_id) = 16 AND substr(hex(reward_id), 17, 1) IN ('8', '9', 'A', 'B')),
    seq INTEGER NOT NULL,
    at TEXT NOT NULL CHECK (at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(at, 12) NOT GLOB '*[^0-9:.+]*'),
    kind TEXT NOT NULL CHECK (kind NOT GLOB '*[^a-z0-9_.:-]*' AND kind NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    detail TEXT CHECK (length(detail) <= 1024 AND detail NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    PRIMARY KEY (reward_id, seq)
) STRICT;

-- What Amazon last said each account can spend, and when.
CREATE TABLE balances (
    account TEXT NOT NULL PRIMARY KEY CHECK (account NOT GLOB '*[^a-z0-9_.:-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    available_minor INTEGER NOT NULL,
    as_of TEXT NOT NULL CHECK (as_of GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(as_of, 12) NOT GLOB '*[^0-9:.+]*')
) STRICT;
