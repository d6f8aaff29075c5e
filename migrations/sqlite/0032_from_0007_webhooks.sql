-- Webhooks: what callers hear of without asking. The outbox stays as it is: `facts` are its messages, so a purchase pays nothing.
--
-- `webhook_endpoints`: where a client listens. `everyone`: it hears of what belongs to any client. `program_id`: of this program alone.
-- `event_types`: the words that it asked for, with blanks between; empty: all. `since`: the last fact before it was made. The secrets are
-- sealed; the old one signs beside the new one until `old_secret_until`. `failing_since`: when the first of its failures without a success
-- between began; `failures` counts them. A deleted one stays until its deliveries are removed.
--
-- `webhook_deliveries`: one fact to one endpoint; a test has no fact. `subject`: what it is about; the deliveries of one subject leave in
-- their order. `due_at`: when it may be sent; while it is being sent, when another replica may take it. `claims` counts how often it was taken, and only
-- grows; `attempts` those that were sent since it was to be sent last. `pending_since`: since when it is to be sent.
--
-- `webhook_feed`: one row. Facts up to `through` have become deliveries.
--
-- A program of schema 7 knows none of these tables. What it writes into `facts` is delivered by a later one.
CREATE TABLE webhook_endpoints (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16 AND substr(hex(id), 17, 1) IN ('8', '9', 'A', 'B')),
    client_id BLOB NOT NULL REFERENCES clients (id) CHECK (length(client_id) = 16 AND substr(hex(client_id), 17, 1) IN ('8', '9', 'A', 'B')),
    program_id TEXT CHECK (length(program_id) <= 44 AND program_id NOT GLOB '*[^a-z0-9_]*'),
    everyone INTEGER NOT NULL CHECK (everyone IN (0, 1)),
    url TEXT NOT NULL CHECK (length(url) <= 2048 AND url NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    description TEXT CHECK (length(description) <= 200 AND description NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    event_types TEXT NOT NULL CHECK (event_types NOT GLOB '*[^a-z_. ]*'),
    since INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('enabled', 'disabled', 'deleted')),
    disabled_why TEXT CHECK (disabled_why IN ('asked', 'gone', 'failing')),
    secret_key TEXT NOT NULL CHECK (length(secret_key) BETWEEN 1 AND 10 AND secret_key NOT GLOB '*[^a-z0-9-]*' AND secret_key NOT GLOB '-*'),
    secret_sealed BLOB NOT NULL CHECK (length(secret_sealed) BETWEEN 30 AND 512 AND hex(substr(secret_sealed, 1, 1)) = '01'),
    old_secret_key TEXT CHECK (length(old_secret_key) BETWEEN 1 AND 10 AND old_secret_key NOT GLOB '*[^a-z0-9-]*' AND old_secret_key NOT GLOB '-*'),
    old_secret_sealed BLOB CHECK (old_secret_sealed IS NULL OR length(old_secret_sealed) BETWEEN 30 AND 512 AND hex(substr(old_secret_sealed, 1, 1)) = '01'),
    old_secret_until TEXT CHECK (old_secret_until GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(old_secret_until, 12) NOT GLOB '*[^0-9:.+]*'),
    failures INTEGER NOT NULL,
    failing_since TEXT CHECK (failing_since GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(failing_since, 12) NOT GLOB '*[^0-9:.+]*'),
    paused_until TEXT CHECK (paused_until GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(paused_until, 12) NOT GLOB '*[^0-9:.+]*'),
    created_at TEXT NOT NULL CHECK (created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(created_at, 12) NOT GLOB '*[^0-9:.+]*'),
    updated_at TEXT NOT NULL CHECK (updated_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(updated_at, 12) NOT GLOB '*[^0-9:.+]*')
) STRICT;
CREATE INDEX webhook_endpoints_of_client ON webhook_endpoints (client_id, id);

CREATE TABLE webhook_deliveries (
    id INTEGER NOT NULL PRIMARY KEY,
    endpoint_id BLOB NOT NULL REFERENCES webhook_endpoints (id) CHECK (length(endpoint_id) = 16 AND substr(hex(endpoint_id), 17, 1) IN ('8', '9', 'A', 'B')),
    fact_id INTEGER,
    event_type TEXT NOT NULL CHECK (event_type NOT GLOB '*[^a-z_.]*'),
    subject TEXT NOT NULL CHECK (length(subject) <= 100 AND subject NOT GLOB '*[^a-z0-9_.:-]*' AND subject NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    sequence INTEGER,
    happened_at TEXT NOT NULL CHECK (happened_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(happened_at, 12) NOT GLOB '*[^0-9:.+]*'),
    state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts INTEGER NOT NULL,
    claims INTEGER NOT NULL,
    due_at TEXT NOT NULL CHECK (due_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(due_at, 12) NOT GLOB '*[^0-9:.+]*'),
    last_status INTEGER,
    last_failure TEXT CHECK (last_failure NOT GLOB '*[^a-z_]*'),
    created_at TEXT NOT NULL CHECK (created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(created_at, 12) NOT GLOB '*[^0-9:.+]*'),
    pending_since TEXT NOT NULL CHECK (pending_since GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(pending_since, 12) NOT GLOB '*[^0-9:.+]*'),
    done_at TEXT CHECK (done_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(done_at, 12) NOT GLOB '*[^0-9:.+]*')
) STRICT;

-- A fact is delivered to an endpoint once, whoever looks at it again.
CREATE UNIQUE INDEX webhook_deliveries_of_fact ON webhook_deliveries (endpoint_id, fact_id) WHERE fact_id IS NOT NULL;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at, id) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_in_order ON webhook_deliveries (endpoint_id, subject, id) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_listed ON webhook_deliveries (endpoint_id, id);
CREATE INDEX webhook_deliveries_of_state ON webhook_deliveries (endpoint_id, state, id);
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (endpoint_id, pending_since) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_aged ON webhook_deliveries (created_at);

CREATE TABLE webhook_feed (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    through INTEGER NOT NULL
) STRICT;
INSERT INTO webhook_feed (id, through) SELECT 1, COALESCE(MAX(id), 0) FROM facts;

-- The timeline of an archived reward is deleted. Where it has the newest facts, their ids are given again: the marks go back with them.
CREATE TRIGGER facts_give_back AFTER DELETE ON facts WHEN OLD.id > (SELECT COALESCE(MAX(id), 0) FROM facts) BEGIN
    UPDATE webhook_feed SET through = MIN(through, (SELECT COALESCE(MAX(id), 0) FROM facts));
    UPDATE webhook_endpoints SET since = MIN(since, (SELECT COALESCE(MAX(id), 0) FROM facts));
END;
