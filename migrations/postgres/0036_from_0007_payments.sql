-- Payments of Amazon Pay: what a buyer pays, and what a buyer gets back. One row is one movement of money that Amazon makes for us.
--
-- `kind`: `charge` or `refund`. `against`: Amazon's id of what it is made against: of a charge the buyer's consent (a charge permission), of a refund the
-- charge at Amazon; `parent_id`: of a refund, our charge. `pay_key`: the key under which Amazon makes it at most once; it derives from the intent. `remote_id`:
-- Amazon's id of it, once an answer showed one. `may_wait`: Amazon may decide later. `simulation`: what Amazon's sandbox is asked to play.
--
-- `doubt` to `done` are the fields of a stage (`engine::FlatStage`). `decline`: why the buyer's money did not come, in a word of ours; `error_code`: Amazon's word.
-- Nothing of the buyer is kept: no name, no address, no token.
--
-- A program of schema 7 does not know the table, and needs none.
CREATE TABLE payments (
    id UUID NOT NULL PRIMARY KEY CHECK (substr(id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    client_id UUID NOT NULL REFERENCES clients (id) CHECK (substr(client_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    intent BYTEA NOT NULL CHECK (length(intent) = 20),
    account TEXT NOT NULL CHECK (length(account) <= 32 AND account !~ '[^a-z0-9_-]' AND account !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    environment TEXT NOT NULL CHECK (environment IN ('sandbox', 'production')),
    kind TEXT NOT NULL CHECK (length(kind) <= 32 AND kind !~ '[^a-z_]'),
    pay_key TEXT NOT NULL CHECK (pay_key ~ '^[0-9a-f]{32}$'),
    against TEXT NOT NULL CHECK (against ~ '^[A-Z][0-9]{2}-[0-9]{7}-[0-9]{7}(-[A-Z][0-9]{1,11})?$'),
    parent_id UUID REFERENCES payments (id) CHECK (substr(parent_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    amount_minor BIGINT NOT NULL CHECK (amount_minor > 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    external_id TEXT CHECK (length(external_id) <= 128 AND external_id !~ '[0-9A-Za-z]{4}-(?![0-9]{6}-[0-9]{4})[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    may_wait BOOLEAN NOT NULL,
    simulation TEXT CHECK (length(simulation) <= 40 AND simulation ~ '^[A-Z][a-z][A-Za-z]*$'),
    state TEXT NOT NULL CHECK (state IN ('pending', 'issuing', 'unresolved', 'issued', 'failed', 'canceling', 'canceled', 'needs_attention')),
    version BIGINT NOT NULL,
    doubt BOOLEAN NOT NULL,
    refusals BIGINT NOT NULL CHECK (refusals BETWEEN 0 AND 255),
    reversal_wanted BOOLEAN NOT NULL,
    reversal_doubt BOOLEAN NOT NULL,
    reversal_failure TEXT CHECK (length(reversal_failure) <= 32 AND reversal_failure !~ '[^a-z_]'),
    attention TEXT CHECK (length(attention) <= 32 AND attention !~ '[^a-z_]'),
    retryable BOOLEAN,
    done BOOLEAN,
    first_sent_at TIMESTAMPTZ,
    unproven_since TIMESTAMPTZ,
    proven_at TIMESTAMPTZ,
    reversed_at TIMESTAMPTZ,
    remote_id TEXT CHECK (remote_id ~ '^[A-Z][0-9]{2}-[0-9]{7}-[0-9]{7}(-[A-Z][0-9]{1,11})?$'),
    decline TEXT CHECK (length(decline) <= 32 AND decline !~ '[^a-z_]'),
    error_code TEXT CHECK (length(error_code) <= 60 AND error_code ~ '^([a-z_]+|[A-Z][A-Za-z]*[a-z][A-Za-z]*)$'),
    attempts BIGINT NOT NULL,
    attempts_before BIGINT NOT NULL,
    events BIGINT NOT NULL,
    lease_token UUID CHECK (substr(lease_token::text, 20, 1) IN ('8', '9', 'a', 'b')),
    due_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    trace_context TEXT CHECK (trace_context ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$')
);
CREATE UNIQUE INDEX payments_of_intent ON payments (intent);
CREATE INDEX payments_of_client ON payments (client_id, kind, id);
CREATE INDEX payments_named ON payments (client_id, kind, external_id, id) WHERE external_id IS NOT NULL;
CREATE INDEX payments_against ON payments (client_id, kind, against, id);
CREATE INDEX payments_of_parent ON payments (parent_id, id) WHERE parent_id IS NOT NULL;
CREATE INDEX payments_due ON payments (account, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX payments_attention ON payments (id) WHERE state = 'needs_attention';
