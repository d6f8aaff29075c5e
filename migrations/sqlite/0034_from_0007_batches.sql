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
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16 AND substr(hex(id), 17, 1) IN ('8', '9', 'A', 'B')),
    client_id BLOB NOT NULL REFERENCES clients (id) CHECK (length(client_id) = 16 AND substr(hex(client_id), 17, 1) IN ('8', '9', 'A', 'B')),
    api_key_id BLOB NOT NULL CHECK (length(api_key_id) = 16 AND substr(hex(api_key_id), 17, 1) IN ('8', '9', 'A', 'B')),
    program_id TEXT CHECK (length(program_id) <= 44 AND program_id NOT GLOB '*[^a-z0-9_]*'),
    account TEXT NOT NULL CHECK (length(account) <= 32 AND account NOT GLOB '*[^a-z0-9_-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    name TEXT CHECK (length(name) <= 100 AND name NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND name NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND name NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND name NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND name NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND name NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND name NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND name NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND name NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z]*'
        AND name NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z]*'),
    intent BLOB NOT NULL CHECK (length(intent) = 20),
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    items INTEGER NOT NULL CHECK (items BETWEEN 1 AND 1000),
    state TEXT NOT NULL CHECK (state IN ('running', 'paused', 'canceled', 'finished')),
    waiting_for TEXT CHECK (length(waiting_for) <= 40 AND waiting_for NOT GLOB '*[^a-z-]*'),
    resume_at TEXT CHECK (resume_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(resume_at, 12) NOT GLOB '*[^0-9:.+]*'),
    setbacks INTEGER NOT NULL,
    moved_at TEXT NOT NULL CHECK (moved_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(moved_at, 12) NOT GLOB '*[^0-9:.+]*'),
    created_at TEXT NOT NULL CHECK (created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(created_at, 12) NOT GLOB '*[^0-9:.+]*'),
    updated_at TEXT NOT NULL CHECK (updated_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(updated_at, 12) NOT GLOB '*[^0-9:.+]*'),
    ended_at TEXT CHECK (ended_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(ended_at, 12) NOT GLOB '*[^0-9:.+]*'),
    emptied_at TEXT CHECK (emptied_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(emptied_at, 12) NOT GLOB '*[^0-9:.+]*')
) STRICT;
CREATE UNIQUE INDEX batches_of_intent ON batches (intent);
CREATE INDEX batches_of_client ON batches (client_id, id);
CREATE INDEX batches_named ON batches (client_id, name, id) WHERE name IS NOT NULL;
CREATE INDEX batches_of_program ON batches (client_id, program_id, id) WHERE program_id IS NOT NULL;
CREATE INDEX batches_open ON batches (id) WHERE ended_at IS NULL;
CREATE INDEX batches_aged ON batches (ended_at) WHERE ended_at IS NOT NULL AND emptied_at IS NULL;

CREATE TABLE batch_items (
    batch_id BLOB NOT NULL REFERENCES batches (id) CHECK (length(batch_id) = 16 AND substr(hex(batch_id), 17, 1) IN ('8', '9', 'A', 'B')),
    place INTEGER NOT NULL CHECK (place BETWEEN 0 AND 999),
    external_id TEXT NOT NULL CHECK (length(external_id) <= 128 AND external_id NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND external_id NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND external_id NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND external_id NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND external_id NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND external_id NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND external_id NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND external_id NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND external_id NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z]*'
        AND external_id NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z]*'),
    kind TEXT NOT NULL CHECK (length(kind) <= 32 AND kind NOT GLOB '*[^a-z_]*'),
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    metadata TEXT CHECK (length(metadata) <= 2048 AND metadata NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND metadata NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND metadata NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND metadata NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND metadata NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND metadata NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND metadata NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND metadata NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND metadata NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z]*'
        AND metadata NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z]*'),
    state TEXT NOT NULL CHECK (state IN ('waiting', 'started', 'done', 'refused', 'canceled')),
    due_at TEXT CHECK (due_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(due_at, 12) NOT GLOB '*[^0-9:.+]*'),
    reward_id BLOB CHECK (reward_id IS NULL OR length(reward_id) = 16 AND substr(hex(reward_id), 17, 1) IN ('8', '9', 'A', 'B')),
    refused_code TEXT CHECK (length(refused_code) <= 40 AND refused_code NOT GLOB '*[^a-z-]*'),
    refused_pointer TEXT CHECK (length(refused_pointer) <= 60 AND refused_pointer NOT GLOB '*[^a-z_/]*'),
    claims INTEGER NOT NULL,
    PRIMARY KEY (batch_id, place)
) STRICT;
CREATE INDEX batch_items_due ON batch_items (batch_id, due_at, place) WHERE due_at IS NOT NULL;
