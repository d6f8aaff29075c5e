-- What a column may hold is asked by one trigger a table. PostgreSQL keeps a CHECK as text, and reads that text again for every statement
-- that writes: of a purchase's time at the server the checks of these three tables took a fourth. A function is read once a connection.
--
-- The questions are the same, word for word; so is the error's code. What is new is that the error names the column, and that it does
-- not repeat the row. Nobody but the tables' owner can switch the triggers off, and they fire for what is replicated, too. A restore of
-- pg_dump makes the triggers after it has filled the tables, so it does not ask again what was asked when the rows were written.
--
-- A column keeps its type, so a statement that a running program has prepared stays valid.

-- What a reward is from its first moment on. It is asked of a new row, and when one of these columns is set.
CREATE FUNCTION reward_order_has_shape() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    -- The first column that may not hold what it would. A condition that is NULL is no refusal, as in a CHECK.
    refused CONSTANT TEXT := CASE
        WHEN substr(NEW.id::text, 20, 1) NOT IN ('8', '9', 'a', 'b') THEN 'id'
        WHEN substr(NEW.client_id::text, 20, 1) NOT IN ('8', '9', 'a', 'b') THEN 'client_id'
        WHEN length(NEW.intent) <> 20 THEN 'intent'
        WHEN NEW.account ~ '[^a-z0-9_.:-]' OR NEW.account ~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}' THEN 'account'
        WHEN length(NEW.marketplace) NOT IN (2, 3) OR NEW.marketplace ~ '[^A-Z]' THEN 'marketplace'
        WHEN NEW.environment NOT IN ('sandbox', 'production') THEN 'environment'
        WHEN NEW.creation_request_id ~ '[^0-9A-Za-z]'
            OR length(NEW.creation_request_id) <> 5 AND length(NEW.creation_request_id) NOT BETWEEN 33 AND 40 THEN 'creation_request_id'
        WHEN NEW.kind !~ '^[a-z][a-z_]{0,31}$' THEN 'kind'
        WHEN NEW.amount_minor <= 0 THEN 'amount_minor'
        WHEN length(NEW.currency) <> 3 THEN 'currency'
        WHEN length(NEW.external_id) > 128
            OR NEW.external_id ~ '[0-9A-Za-z]{4}-(?![0-9]{6}-[0-9]{4})[0-9A-Za-z]{6}-[0-9A-Za-z]{4}' THEN 'external_id'
        WHEN length(NEW.metadata) > 2048
            OR NEW.metadata ~ '[0-9A-Za-z]{4}-(?![0-9]{6}-[0-9]{4})[0-9A-Za-z]{6}-[0-9A-Za-z]{4}' THEN 'metadata'
        WHEN NEW.on_unresolved NOT IN ('keep', 'cancel') THEN 'on_unresolved'
        WHEN NEW.program_id !~ '^prg_[a-z0-9_]{1,40}$' THEN 'program_id'
        WHEN NEW.trace_context !~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$' THEN 'trace_context'
        WHEN length(NEW.token_fingerprint) <> 32 THEN 'token_fingerprint'
        WHEN length(NEW.create_members) > 2048
            OR NEW.create_members ~ '[0-9A-Za-z]{4}-(?![0-9]{6}-[0-9]{4})[0-9A-Za-z]{6}-[0-9A-Za-z]{4}' THEN 'create_members'
    END;
BEGIN
    IF refused IS NOT NULL THEN
        RAISE check_violation USING MESSAGE = format('%s.%s may not hold this', TG_TABLE_NAME, refused), TABLE = TG_TABLE_NAME, COLUMN = refused;
    END IF;
    RETURN NEW;
END
$$;

-- What becomes of it. It is asked of each write.
CREATE FUNCTION reward_state_has_shape() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    refused CONSTANT TEXT := CASE
        WHEN NEW.state NOT IN ('pending', 'issuing', 'unresolved', 'issued', 'failed', 'canceling', 'canceled', 'needs_attention') THEN 'state'
        WHEN NEW.booked NOT IN ('none', 'reserved', 'issued') THEN 'booked'
        WHEN NEW.refusals NOT BETWEEN 0 AND 255 THEN 'refusals'
        WHEN substr(NEW.lease_token::text, 20, 1) NOT IN ('8', '9', 'a', 'b') THEN 'lease_token'
        WHEN NEW.cancel_failure ~ '[^a-z0-9_.:-]' OR NEW.cancel_failure ~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}' THEN 'cancel_failure'
        WHEN NEW.attention ~ '[^a-z0-9_.:-]' OR NEW.attention ~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}' THEN 'attention'
        WHEN NEW.error_code NOT IN ('F100', 'F200', 'F300', 'F400', 'F500') AND NEW.error_code ~ '[^a-z_]' THEN 'error_code'
        WHEN NEW.error_type !~ '^[A-Z][a-z][A-Za-z]*$' THEN 'error_type'
        WHEN NEW.budget_key !~ '^key_[0-9a-f]{32}$' THEN 'budget_key'
        WHEN NEW.budget_day !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$' THEN 'budget_day'
        WHEN length(NEW.card_fingerprint) <> 32 THEN 'card_fingerprint'
        WHEN length(NEW.target_sealed) NOT BETWEEN 30 AND 512 OR get_byte(NEW.target_sealed, 0) <> 1 THEN 'target_sealed'
        WHEN NEW.target_key !~ '^[a-z0-9][a-z0-9-]{0,9}$' THEN 'target_key'
        WHEN length(NEW.target_fingerprint) <> 32 THEN 'target_fingerprint'
        WHEN (NEW.target_key IS NULL) <> (NEW.target_sealed IS NULL)
            OR NEW.target_sealed IS NOT NULL AND NEW.target_fingerprint IS NULL THEN 'target_key'
    END;
BEGIN
    IF refused IS NOT NULL THEN
        RAISE check_violation USING MESSAGE = format('%s.%s may not hold this', TG_TABLE_NAME, refused), TABLE = TG_TABLE_NAME, COLUMN = refused;
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION fact_has_shape() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    refused CONSTANT TEXT := CASE
        WHEN substr(NEW.subject_id::text, 20, 1) NOT IN ('8', '9', 'a', 'b') THEN 'subject_id'
        WHEN substr(NEW.client_id::text, 20, 1) NOT IN ('8', '9', 'a', 'b') THEN 'client_id'
        WHEN NEW.subject_kind ~ '[^a-z_]' THEN 'subject_kind'
        WHEN NEW.subject ~ '[^a-z0-9_.:-]' OR NEW.subject ~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}' THEN 'subject'
        WHEN NEW.account ~ '[^a-z0-9_.:-]' OR NEW.account ~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}' THEN 'account'
        WHEN NEW.kind ~ '[^a-z_.]' THEN 'kind'
        WHEN length(NEW.data) > 1024 OR NEW.data ~ '[0-9A-Za-z]{4}-(?![0-9]{6}-[0-9]{4})[0-9A-Za-z]{6}-[0-9A-Za-z]{4}' THEN 'data'
    END;
BEGIN
    IF refused IS NOT NULL THEN
        RAISE check_violation USING MESSAGE = format('%s.%s may not hold this', TG_TABLE_NAME, refused), TABLE = TG_TABLE_NAME, COLUMN = refused;
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION ledger_entry_has_shape() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    refused CONSTANT TEXT := CASE
        WHEN NEW.account ~ '[^a-z0-9_.:-]' OR NEW.account ~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}' THEN 'account'
        WHEN length(NEW.currency) <> 3 THEN 'currency'
        WHEN NEW.kind !~ '^[a-z_]{1,40}$' THEN 'kind'
        WHEN NEW.debit ~ '[^a-z_]' THEN 'debit'
        WHEN NEW.credit ~ '[^a-z_]' OR NEW.credit = NEW.debit THEN 'credit'
        WHEN NEW.amount_minor <= 0 THEN 'amount_minor'
        WHEN substr(NEW.reward_id::text, 20, 1) NOT IN ('8', '9', 'a', 'b') THEN 'reward_id'
        WHEN NEW.program_id !~ '^prg_[a-z0-9_]{1,40}$' THEN 'program_id'
        WHEN length(NEW.note) > 200
            OR NEW.note ~ '[0-9A-Za-z]{4}-(?![0-9]{6}-[0-9]{4})[0-9A-Za-z]{6}-[0-9A-Za-z]{4}' THEN 'note'
        WHEN length(NEW.made_by) > 100 OR NEW.made_by ~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}' THEN 'made_by'
    END;
BEGIN
    IF refused IS NOT NULL THEN
        RAISE check_violation USING MESSAGE = format('%s.%s may not hold this', TG_TABLE_NAME, refused), TABLE = TG_TABLE_NAME, COLUMN = refused;
    END IF;
    RETURN NEW;
END
$$;

-- All tables or none, and never for longer than a deadlock takes to be noticed: a transaction of a running program that holds one of them
-- and waits for another must come to its end, not to an error.
DO $$
DECLARE
    patience CONSTANT TEXT := current_setting('lock_timeout');
BEGIN
    PERFORM set_config('lock_timeout', '200ms', true);
    FOR attempt IN 1..20 LOOP
        BEGIN
            LOCK TABLE rewards, facts, ledger_entries IN ACCESS EXCLUSIVE MODE;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            IF attempt = 20 THEN RAISE; END IF;
            PERFORM pg_sleep(0.05);
        END;
    END LOOP;
    PERFORM set_config('lock_timeout', patience, true);
END
$$;

CREATE TRIGGER rewards_order_has_shape
    BEFORE INSERT OR UPDATE OF id, client_id, intent, account, marketplace, environment, creation_request_id, kind, amount_minor, currency,
        external_id, metadata, on_unresolved, program_id, trace_context, token_fingerprint, create_members
    ON rewards FOR EACH ROW EXECUTE FUNCTION reward_order_has_shape();
CREATE TRIGGER rewards_state_has_shape BEFORE INSERT OR UPDATE ON rewards FOR EACH ROW EXECUTE FUNCTION reward_state_has_shape();
CREATE TRIGGER facts_have_shape BEFORE INSERT OR UPDATE ON facts FOR EACH ROW EXECUTE FUNCTION fact_has_shape();
CREATE TRIGGER ledger_entries_have_shape BEFORE INSERT OR UPDATE ON ledger_entries FOR EACH ROW EXECUTE FUNCTION ledger_entry_has_shape();

ALTER TABLE rewards
    ENABLE ALWAYS TRIGGER rewards_order_has_shape,
    ENABLE ALWAYS TRIGGER rewards_state_has_shape,
    DROP CONSTRAINT rewards_account_check,
    DROP CONSTRAINT rewards_amount_minor_check,
    DROP CONSTRAINT rewards_attention_check,
    DROP CONSTRAINT rewards_booked_check,
    DROP CONSTRAINT rewards_budget_day_check,
    DROP CONSTRAINT rewards_budget_key_check,
    DROP CONSTRAINT rewards_cancel_failure_check,
    DROP CONSTRAINT rewards_card_fingerprint_check,
    DROP CONSTRAINT rewards_client_id_check,
    DROP CONSTRAINT rewards_create_members_check,
    DROP CONSTRAINT rewards_creation_request_id_check,
    DROP CONSTRAINT rewards_currency_check,
    DROP CONSTRAINT rewards_environment_check,
    DROP CONSTRAINT rewards_error_code_check,
    DROP CONSTRAINT rewards_error_type_check,
    DROP CONSTRAINT rewards_external_id_check,
    DROP CONSTRAINT rewards_id_check,
    DROP CONSTRAINT rewards_intent_check,
    DROP CONSTRAINT rewards_kind_check,
    DROP CONSTRAINT rewards_lease_token_check,
    DROP CONSTRAINT rewards_marketplace_check,
    DROP CONSTRAINT rewards_metadata_check,
    DROP CONSTRAINT rewards_on_unresolved_check,
    DROP CONSTRAINT rewards_program_id_check,
    DROP CONSTRAINT rewards_refusals_check,
    DROP CONSTRAINT rewards_state_check,
    DROP CONSTRAINT rewards_target_check,
    DROP CONSTRAINT rewards_target_fingerprint_check,
    DROP CONSTRAINT rewards_target_key_check,
    DROP CONSTRAINT rewards_target_sealed_check,
    DROP CONSTRAINT rewards_token_fingerprint_check,
    DROP CONSTRAINT rewards_trace_context_check;
ALTER TABLE facts
    ENABLE ALWAYS TRIGGER facts_have_shape,
    DROP CONSTRAINT facts_account_check,
    DROP CONSTRAINT facts_client_id_check,
    DROP CONSTRAINT facts_data_check,
    DROP CONSTRAINT facts_kind_check,
    DROP CONSTRAINT facts_subject_check,
    DROP CONSTRAINT facts_subject_id_check,
    DROP CONSTRAINT facts_subject_kind_check;
ALTER TABLE ledger_entries
    ENABLE ALWAYS TRIGGER ledger_entries_have_shape,
    DROP CONSTRAINT ledger_entries_account_check,
    DROP CONSTRAINT ledger_entries_amount_minor_check,
    DROP CONSTRAINT ledger_entries_check,
    DROP CONSTRAINT ledger_entries_credit_check,
    DROP CONSTRAINT ledger_entries_currency_check,
    DROP CONSTRAINT ledger_entries_debit_check,
    DROP CONSTRAINT ledger_entries_kind_check,
    DROP CONSTRAINT ledger_entries_made_by_check,
    DROP CONSTRAINT ledger_entries_note_check,
    DROP CONSTRAINT ledger_entries_program_id_check,
    DROP CONSTRAINT ledger_entries_reward_id_check;
