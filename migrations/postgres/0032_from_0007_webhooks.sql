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
    id UUID NOT NULL PRIMARY KEY CHECK (substr(id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    client_id UUID NOT NULL REFERENCES clients (id) CHECK (substr(client_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    program_id TEXT CHECK (length(program_id) <= 44 AND program_id !~ '[^a-z0-9_]'),
    everyone BOOLEAN NOT NULL,
    url TEXT NOT NULL CHECK (length(url) <= 2048 AND url !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    description TEXT CHECK (length(description) <= 200 AND description !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    event_types TEXT NOT NULL CHECK (event_types !~ '[^a-z_. ]'),
    since BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('enabled', 'disabled', 'deleted')),
    disabled_why TEXT CHECK (disabled_why IN ('asked', 'gone', 'failing')),
    secret_key TEXT NOT NULL CHECK (secret_key ~ '^[a-z0-9][a-z0-9-]{0,9}$'),
    secret_sealed BYTEA NOT NULL CHECK (length(secret_sealed) BETWEEN 30 AND 512 AND get_byte(secret_sealed, 0) = 1),
    old_secret_key TEXT CHECK (old_secret_key ~ '^[a-z0-9][a-z0-9-]{0,9}$'),
    old_secret_sealed BYTEA CHECK (length(old_secret_sealed) BETWEEN 30 AND 512 AND get_byte(old_secret_sealed, 0) = 1),
    old_secret_until TIMESTAMPTZ,
    failures BIGINT NOT NULL,
    failing_since TIMESTAMPTZ,
    paused_until TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX webhook_endpoints_of_client ON webhook_endpoints (client_id, id);

CREATE TABLE webhook_deliveries (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint_id UUID NOT NULL REFERENCES webhook_endpoints (id) CHECK (substr(endpoint_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    fact_id BIGINT,
    event_type TEXT NOT NULL CHECK (event_type !~ '[^a-z_.]'),
    subject TEXT NOT NULL CHECK (length(subject) <= 100 AND subject !~ '[^a-z0-9_.:-]' AND subject !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    sequence BIGINT,
    happened_at TIMESTAMPTZ NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts BIGINT NOT NULL,
    claims BIGINT NOT NULL,
    due_at TIMESTAMPTZ NOT NULL,
    last_status BIGINT,
    last_failure TEXT CHECK (last_failure !~ '[^a-z_]'),
    created_at TIMESTAMPTZ NOT NULL,
    pending_since TIMESTAMPTZ NOT NULL,
    done_at TIMESTAMPTZ
);

-- A fact is delivered to an endpoint once, whoever looks at it again.
CREATE UNIQUE INDEX webhook_deliveries_of_fact ON webhook_deliveries (endpoint_id, fact_id) WHERE fact_id IS NOT NULL;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at, id) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_in_order ON webhook_deliveries (endpoint_id, subject, id) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_listed ON webhook_deliveries (endpoint_id, id);
CREATE INDEX webhook_deliveries_of_state ON webhook_deliveries (endpoint_id, state, id);
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (endpoint_id, pending_since) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_aged ON webhook_deliveries (created_at);

CREATE TABLE webhook_feed (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    through BIGINT NOT NULL
);

-- The last id that was given to a fact, whether its transaction has ended or not. The role that serves may not read the sequence.
DO $$
BEGIN
    EXECUTE format(
        'CREATE FUNCTION facts_given() RETURNS BIGINT LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp '
        'AS $body$ SELECT COALESCE(pg_sequence_last_value(%L::regclass), 0) $body$',
        pg_get_serial_sequence('facts', 'id')
    );
END
$$;

INSERT INTO webhook_feed (id, through) VALUES (1, facts_given());
