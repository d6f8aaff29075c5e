-- Batches: rewards that are to be bought one after the other, as the rate of their account leaves room.
--
-- `batches`: one upload. `intent` names it as its caller's Idempotency-Key does, `digest` tells whether the same was sent again. `api_key_id`: the key
-- that asks for its rewards, whoever sent or resumed the batch last. While it waits for something, `waiting_for` says for what (a problem's code), and nothing
-- of it is begun before `resume_at`; `setbacks` counts such waits in a row. `moved_at`: when it last came on. `ended_at`: when nothing of it was left to do.
-- `emptied_at`: when its items were removed; the row stays.
--
-- `batch_items`: what is to be bought, in its order. `due_at`: when it may be begun; once it is begun, when another replica may take it up; NULL when the
-- batch is done with it. What became of a reward stands in the reward alone. `claims` counts how often the item was taken up.
--
-- A program of schema 7 knows none of these tables, and needs none.
CREATE TABLE batches (
    id UUID NOT NULL PRIMARY KEY CHECK (substr(id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    client_id UUID NOT NULL REFERENCES clients (id) CHECK (substr(client_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    api_key_id UUID NOT NULL CHECK (substr(api_key_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    program_id TEXT CHECK (length(program_id) <= 44 AND program_id !~ '[^a-z0-9_]'),
    account TEXT NOT NULL CHECK (length(account) <= 32 AND account !~ '[^a-z0-9_-]' AND account !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    name TEXT CHECK (length(name) <= 100 AND name !~ '[0-9A-Za-z]{4}-(?![0-9]{6}-[0-9]{4})[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    intent BYTEA NOT NULL CHECK (length(intent) = 20),
    digest BYTEA NOT NULL CHECK (length(digest) = 32),
    items BIGINT NOT NULL CHECK (items BETWEEN 1 AND 1000),
    state TEXT NOT NULL CHECK (state IN ('running', 'paused', 'canceled', 'finished')),
    waiting_for TEXT CHECK (length(waiting_for) <= 40 AND waiting_for !~ '[^a-z-]'),
    resume_at TIMESTAMPTZ,
    setbacks BIGINT NOT NULL,
    moved_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ,
    emptied_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX batches_of_intent ON batches (intent);
CREATE INDEX batches_of_client ON batches (client_id, id);
CREATE INDEX batches_named ON batches (client_id, name, id) WHERE name IS NOT NULL;
CREATE INDEX batches_of_program ON batches (client_id, program_id, id) WHERE program_id IS NOT NULL;
CREATE INDEX batches_open ON batches (id) WHERE ended_at IS NULL;
CREATE INDEX batches_aged ON batches (ended_at) WHERE ended_at IS NOT NULL AND emptied_at IS NULL;

CREATE TABLE batch_items (
    batch_id UUID NOT NULL REFERENCES batches (id) CHECK (substr(batch_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    place BIGINT NOT NULL CHECK (place BETWEEN 0 AND 999),
    external_id TEXT NOT NULL CHECK (length(external_id) <= 128 AND external_id !~ '[0-9A-Za-z]{4}-(?![0-9]{6}-[0-9]{4})[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    kind TEXT NOT NULL CHECK (length(kind) <= 32 AND kind !~ '[^a-z_]'),
    amount_minor BIGINT NOT NULL CHECK (amount_minor > 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    metadata TEXT CHECK (length(metadata) <= 2048 AND metadata !~ '[0-9A-Za-z]{4}-(?![0-9]{6}-[0-9]{4})[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    state TEXT NOT NULL CHECK (state IN ('waiting', 'started', 'done', 'refused', 'canceled')),
    due_at TIMESTAMPTZ,
    reward_id UUID CHECK (substr(reward_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    refused_code TEXT CHECK (length(refused_code) <= 40 AND refused_code !~ '[^a-z-]'),
    refused_pointer TEXT CHECK (length(refused_pointer) <= 60 AND refused_pointer !~ '[^a-z_/]'),
    claims BIGINT NOT NULL,
    PRIMARY KEY (batch_id, place)
);
CREATE INDEX batch_items_due ON batch_items (batch_id, due_at, place) WHERE due_at IS NOT NULL;
