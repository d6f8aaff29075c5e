-- What lists are read by: each filter that a list offers is a part of an index of it, so that a page costs the same however many rows there
-- are, and however few of them fit.
--
-- `rewards_listed`: a page takes the newest of each account, kind and state of the client. It stands in for `rewards_of_client`, by which only
-- programs of older schemas list: a later migration takes that away. The others are of rewards with a program, and of tables that few rows are
-- written to.
--
-- Facts with a name are those without a timeline, and the other way round. PostgreSQL sees no index for the one condition in the other: so
-- for a kind it neither walks through `facts_named` nor through all that a subject has.
--
-- A program of schema 7 fills them.
CREATE INDEX IF NOT EXISTS rewards_listed ON rewards (client_id, account, kind, state, id);

CREATE INDEX IF NOT EXISTS rewards_of_program ON rewards (client_id, program_id, account, kind, state, id) WHERE program_id IS NOT NULL;

CREATE INDEX IF NOT EXISTS facts_of_kind ON facts (kind, id) WHERE subject IS NOT NULL;

CREATE INDEX IF NOT EXISTS facts_of_subject ON facts (subject_kind, subject, id) WHERE subject_id IS NULL;

CREATE INDEX IF NOT EXISTS facts_of_subject_and_kind ON facts (subject_kind, subject, kind, id) WHERE subject IS NOT NULL;

CREATE INDEX reconciliations_of_account ON reconciliations (account, id);

CREATE INDEX reconciliation_items_of_reward ON reconciliation_items (reward_id) WHERE reward_id IS NOT NULL;

CREATE INDEX audit_records_of_action ON audit_records (action, sequence);
