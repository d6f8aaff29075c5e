-- The first schema: clients and their keys, rewards and their timeline, the last known balances.
--
-- No column can hold a claim code. Each text column is limited by a CHECK to words or digits that no code is made of, or
-- refuses text shaped like one (4-6-4); each byte column has a length or a marker that no code has. A test tries them all.

-- The callers of our API. Idempotency keys and rewards belong to one.
CREATE TABLE clients (
    id UUID NOT NULL PRIMARY KEY CHECK (substr(id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    name TEXT NOT NULL UNIQUE CHECK (length(name) <= 100 AND name !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    created_at TIMESTAMPTZ NOT NULL
);

-- API keys. The secret has 256 random bits, so a plain hash keeps it (ASVS 6.5.2); it is shown once and never stored.
CREATE TABLE api_keys (
    id UUID NOT NULL PRIMARY KEY CHECK (substr(id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    client_id UUID NOT NULL REFERENCES clients (id) CHECK (substr(client_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    name TEXT NOT NULL CHECK (length(name) <= 100 AND name !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    secret_sha256 BYTEA NOT NULL CHECK (length(secret_sha256) = 32),
    scopes TEXT NOT NULL CHECK (scopes !~ '[^a-z_: ]'),
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ,
    revoked_at TIMESTAMPTZ
);

-- One row per intent. `intent` is the hash of (client, idempotency key): its uniqueness is what makes a request buy at
-- most one card. Never deleted while Amazon may remember the id.
-- `due_at`: when automation takes the row up: the end of its lease or of its back-off. Null: nothing to do.
-- `cancel_doubt`: an attempt to cancel ended unknown. `ambiguous`: so did an attempt to create, and none was proven.
CREATE TABLE rewards (
    id UUID NOT NULL PRIMARY KEY CHECK (substr(id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    client_id UUID NOT NULL REFERENCES clients (id) CHECK (substr(client_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    intent BYTEA NOT NULL UNIQUE CHECK (length(intent) = 20),
    account TEXT NOT NULL CHECK (account !~ '[^a-z0-9_.:-]' AND account !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    marketplace TEXT NOT NULL CHECK (length(marketplace) BETWEEN 2 AND 3 AND marketplace !~ '[^A-Z]'),
    environment TEXT NOT NULL CHECK (environment IN ('sandbox', 'production')),
    creation_request_id TEXT NOT NULL CHECK (creation_request_id !~ '[^0-9A-Za-z]' AND (length(creation_request_id) = 5 OR length(creation_request_id) BETWEEN 33 AND 40)),
    kind TEXT NOT NULL CHECK (kind IN ('gift_code')),
    amount_minor BIGINT NOT NULL CHECK (amount_minor > 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    external_id TEXT CHECK (length(external_id) <= 128 AND external_id !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    metadata TEXT CHECK (length(metadata) <= 2048 AND metadata !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    on_unresolved TEXT NOT NULL CHECK (on_unresolved IN ('keep', 'cancel')),
    state TEXT NOT NULL CHECK (state IN ('pending', 'issuing', 'unresolved', 'issued', 'failed', 'canceling', 'canceled', 'needs_attention')),
    version BIGINT NOT NULL,
    ambiguous BOOLEAN NOT NULL,
    cancel_requested BOOLEAN NOT NULL,
    cancel_doubt BOOLEAN NOT NULL,
    cancel_failure TEXT CHECK (cancel_failure !~ '[^a-z0-9_.:-]' AND cancel_failure !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    attention TEXT CHECK (attention !~ '[^a-z0-9_.:-]' AND attention !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    error_code TEXT CHECK (error_code IN ('F100', 'F200', 'F300', 'F400', 'F500') OR error_code !~ '[^a-z_]'),
    error_type TEXT CHECK (error_type ~ '^[A-Z][a-z][A-Za-z]*$'),
    attempts BIGINT NOT NULL,
    deliveries BIGINT NOT NULL,
    events BIGINT NOT NULL,
    lease_token UUID CHECK (substr(lease_token::text, 20, 1) IN ('8', '9', 'a', 'b')),
    due_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    first_send_at TIMESTAMPTZ,
    unproven_since TIMESTAMPTZ,
    issued_at TIMESTAMPTZ,
    canceled_at TIMESTAMPTZ
);

CREATE UNIQUE INDEX rewards_external_id ON rewards (client_id, external_id) WHERE external_id IS NOT NULL;

CREATE INDEX rewards_of_client ON rewards (client_id, id);

-- What the worker looks for: small, because finished rewards are not in it.
CREATE INDEX rewards_due ON rewards (due_at) WHERE due_at IS NOT NULL;

CREATE INDEX rewards_attention ON rewards (id) WHERE state = 'needs_attention';

-- The timeline of each reward: written in the transaction that made it true, never changed.
CREATE TABLE reward_events (
    reward_id UUID NOT NULL REFERENCES rewards (id) CHECK (substr(reward_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    seq BIGINT NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    kind TEXT NOT NULL CHECK (kind !~ '[^a-z0-9_.:-]' AND kind !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    detail TEXT CHECK (length(detail) <= 1024 AND detail !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    PRIMARY KEY (reward_id, seq)
);

-- What Amazon last said each account can spend, and when.
CREATE TABLE balances (
    account TEXT NOT NULL PRIMARY KEY CHECK (account !~ '[^a-z0-9_.:-]' AND account !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    available_minor BIGINT NOT NULL,
    as_of TIMESTAMPTZ NOT NULL
);
