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
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16 AND substr(hex(id), 17, 1) IN ('8', '9', 'A', 'B')),
    client_id BLOB NOT NULL REFERENCES clients (id) CHECK (length(client_id) = 16 AND substr(hex(client_id), 17, 1) IN ('8', '9', 'A', 'B')),
    intent BLOB NOT NULL CHECK (length(intent) = 20),
    account TEXT NOT NULL CHECK (length(account) <= 32 AND account NOT GLOB '*[^a-z0-9_-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    environment TEXT NOT NULL CHECK (environment IN ('sandbox', 'production')),
    kind TEXT NOT NULL CHECK (length(kind) <= 32 AND kind NOT GLOB '*[^a-z_]*'),
    pay_key TEXT NOT NULL CHECK (length(pay_key) = 32 AND pay_key NOT GLOB '*[^0-9a-f]*'),
    against TEXT NOT NULL CHECK (substr(against, 1, 19) GLOB '[A-Z][0-9][0-9]-[0-9][0-9][0-9][0-9][0-9][0-9][0-9]-[0-9][0-9][0-9][0-9][0-9][0-9][0-9]' AND (length(against) = 19 OR length(against) BETWEEN 22 AND 32 AND substr(against, 20) GLOB '-[A-Z]*' AND substr(against, 22) NOT GLOB '*[^0-9]*')),
    parent_id BLOB REFERENCES payments (id) CHECK (parent_id IS NULL OR length(parent_id) = 16 AND substr(hex(parent_id), 17, 1) IN ('8', '9', 'A', 'B')),
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    external_id TEXT CHECK (length(external_id) <= 128 AND external_id NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND external_id NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND external_id NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND external_id NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND external_id NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND external_id NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND external_id NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND external_id NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][A-Za-z][0-9A-Za-z][0-9A-Za-z]*'
        AND external_id NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][A-Za-z][0-9A-Za-z]*'
        AND external_id NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][A-Za-z]*'),
    may_wait INTEGER NOT NULL CHECK (may_wait IN (0, 1)),
    simulation TEXT CHECK (length(simulation) <= 40 AND simulation GLOB '[A-Z][a-z]*' AND simulation NOT GLOB '*[^A-Za-z]*'),
    state TEXT NOT NULL CHECK (state IN ('pending', 'issuing', 'unresolved', 'issued', 'failed', 'canceling', 'canceled', 'needs_attention')),
    version INTEGER NOT NULL,
    doubt INTEGER NOT NULL CHECK (doubt IN (0, 1)),
    refusals INTEGER NOT NULL CHECK (refusals BETWEEN 0 AND 255),
    reversal_wanted INTEGER NOT NULL CHECK (reversal_wanted IN (0, 1)),
    reversal_doubt INTEGER NOT NULL CHECK (reversal_doubt IN (0, 1)),
    reversal_failure TEXT CHECK (length(reversal_failure) <= 32 AND reversal_failure NOT GLOB '*[^a-z_]*'),
    attention TEXT CHECK (length(attention) <= 32 AND attention NOT GLOB '*[^a-z_]*'),
    retryable INTEGER CHECK (retryable IN (0, 1)),
    done INTEGER CHECK (done IN (0, 1)),
    first_sent_at TEXT CHECK (first_sent_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(first_sent_at, 12) NOT GLOB '*[^0-9:.+]*'),
    unproven_since TEXT CHECK (unproven_since GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(unproven_since, 12) NOT GLOB '*[^0-9:.+]*'),
    proven_at TEXT CHECK (proven_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(proven_at, 12) NOT GLOB '*[^0-9:.+]*'),
    reversed_at TEXT CHECK (reversed_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(reversed_at, 12) NOT GLOB '*[^0-9:.+]*'),
    remote_id TEXT CHECK (substr(remote_id, 1, 19) GLOB '[A-Z][0-9][0-9]-[0-9][0-9][0-9][0-9][0-9][0-9][0-9]-[0-9][0-9][0-9][0-9][0-9][0-9][0-9]' AND (length(remote_id) = 19 OR length(remote_id) BETWEEN 22 AND 32 AND substr(remote_id, 20) GLOB '-[A-Z]*' AND substr(remote_id, 22) NOT GLOB '*[^0-9]*')),
    decline TEXT CHECK (length(decline) <= 32 AND decline NOT GLOB '*[^a-z_]*'),
    error_code TEXT CHECK (length(error_code) <= 60 AND (error_code NOT GLOB '*[^a-z_]*' OR error_code GLOB '[A-Z]*[a-z]*' AND error_code NOT GLOB '*[^A-Za-z]*')),
    attempts INTEGER NOT NULL,
    attempts_before INTEGER NOT NULL,
    events INTEGER NOT NULL,
    lease_token BLOB CHECK (lease_token IS NULL OR length(lease_token) = 16 AND substr(hex(lease_token), 17, 1) IN ('8', '9', 'A', 'B')),
    due_at TEXT CHECK (due_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(due_at, 12) NOT GLOB '*[^0-9:.+]*'),
    created_at TEXT NOT NULL CHECK (created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(created_at, 12) NOT GLOB '*[^0-9:.+]*'),
    updated_at TEXT NOT NULL CHECK (updated_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(updated_at, 12) NOT GLOB '*[^0-9:.+]*'),
    trace_context TEXT CHECK (length(trace_context) = 55 AND trace_context NOT GLOB '*[^0-9a-f-]*' AND trace_context GLOB '00-*-*-0[01]' AND trace_context NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*')
) STRICT;
CREATE UNIQUE INDEX payments_of_intent ON payments (intent);
CREATE INDEX payments_of_client ON payments (client_id, kind, id);
CREATE INDEX payments_named ON payments (client_id, kind, external_id, id) WHERE external_id IS NOT NULL;
CREATE INDEX payments_against ON payments (client_id, kind, against, id);
CREATE INDEX payments_of_parent ON payments (parent_id, id) WHERE parent_id IS NOT NULL;
CREATE INDEX payments_due ON payments (account, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX payments_attention ON payments (id) WHERE state = 'needs_attention';
