-- What keeps claim codes out of the columns of a purchase, where it costs less.
--
-- PostgreSQL reads the text of every CHECK of a table anew for each statement that writes to the table, whatever columns it writes. It
-- keeps the checks of a domain ready, and asks those of the written columns alone. Of what the server spent on a purchase, two fifths were
-- these texts. So the checks become domains, word for word.
--
-- No row is looked at, and no table or index is built anew. A partial index would be if a column of it or of its condition changed, and a view
-- stands in the way of its columns: these keep their CHECK.
--
-- A program of schema 7 notices nothing: to a client a column of a domain has the type under it, and what is refused is refused with the same
-- code.

-- Without their checks: a type with a check would have each table written anew.
CREATE DOMAIN noshi_id AS UUID;
CREATE DOMAIN noshi_hash AS BYTEA;
CREATE DOMAIN noshi_intent AS BYTEA;
CREATE DOMAIN noshi_sealed AS BYTEA;
CREATE DOMAIN noshi_word AS TEXT;
CREATE DOMAIN noshi_marketplace AS TEXT;
CREATE DOMAIN noshi_environment AS TEXT;
CREATE DOMAIN noshi_request_id AS TEXT;
CREATE DOMAIN noshi_currency AS TEXT;
CREATE DOMAIN noshi_on_unresolved AS TEXT;
CREATE DOMAIN noshi_booked AS TEXT;
CREATE DOMAIN noshi_error_code AS TEXT;
CREATE DOMAIN noshi_error_type AS TEXT;
CREATE DOMAIN noshi_callers_words AS TEXT;
CREATE DOMAIN noshi_note AS TEXT;
CREATE DOMAIN noshi_maker AS TEXT;
CREATE DOMAIN noshi_key AS TEXT;
CREATE DOMAIN noshi_program AS TEXT;
CREATE DOMAIN noshi_day AS TEXT;
CREATE DOMAIN noshi_holder AS TEXT;
CREATE DOMAIN noshi_trace AS TEXT;
CREATE DOMAIN noshi_refusals AS BIGINT;
CREATE DOMAIN noshi_amount AS BIGINT;

-- All tables or none, as in 0016.
DO $$
DECLARE
    patience CONSTANT TEXT := current_setting('lock_timeout');
BEGIN
    PERFORM set_config('lock_timeout', '200ms', true);
    FOR attempt IN 1..20 LOOP
        BEGIN
            LOCK TABLE rewards, facts, ledger_entries, day_spending IN ACCESS EXCLUSIVE MODE;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            IF attempt = 20 THEN RAISE; END IF;
            PERFORM pg_sleep(0.05);
        END;
    END LOOP;
    PERFORM set_config('lock_timeout', patience, true);
END
$$;

-- Whatever the checks on these columns are called.
DO $$
DECLARE
    old RECORD;
BEGIN
    FOR old IN
        SELECT conrelid::regclass AS of, conname
        FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND conkey = ARRAY[attnum]
        WHERE contype = 'c' AND (
            conrelid = 'rewards'::regclass AND attname IN (
                'intent', 'marketplace', 'environment', 'creation_request_id', 'amount_minor', 'currency',
                'metadata', 'on_unresolved', 'cancel_failure', 'attention', 'error_code', 'error_type',
                'lease_token', 'refusals', 'budget_key', 'budget_day', 'booked', 'trace_context', 'target_sealed',
                'target_fingerprint', 'card_fingerprint', 'token_fingerprint', 'create_members')
            OR conrelid = 'facts'::regclass AND attname IN (
                'client_id', 'account')
            OR conrelid = 'ledger_entries'::regclass AND attname IN (
                'amount_minor', 'reward_id', 'program_id', 'note', 'made_by')
            OR conrelid = 'day_spending'::regclass AND attname IN (
                'account', 'holder', 'day')
        )
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', old.of, old.conname);
    END LOOP;
END
$$;

ALTER TABLE rewards
    ALTER COLUMN intent TYPE noshi_intent,
    ALTER COLUMN marketplace TYPE noshi_marketplace,
    ALTER COLUMN environment TYPE noshi_environment,
    ALTER COLUMN creation_request_id TYPE noshi_request_id,
    ALTER COLUMN amount_minor TYPE noshi_amount,
    ALTER COLUMN currency TYPE noshi_currency,
    ALTER COLUMN metadata TYPE noshi_callers_words,
    ALTER COLUMN on_unresolved TYPE noshi_on_unresolved,
    ALTER COLUMN cancel_failure TYPE noshi_word,
    ALTER COLUMN attention TYPE noshi_word,
    ALTER COLUMN error_code TYPE noshi_error_code,
    ALTER COLUMN error_type TYPE noshi_error_type,
    ALTER COLUMN lease_token TYPE noshi_id,
    ALTER COLUMN refusals TYPE noshi_refusals,
    ALTER COLUMN budget_key TYPE noshi_key,
    ALTER COLUMN budget_day TYPE noshi_day,
    ALTER COLUMN booked TYPE noshi_booked,
    ALTER COLUMN trace_context TYPE noshi_trace,
    ALTER COLUMN target_sealed TYPE noshi_sealed,
    ALTER COLUMN target_fingerprint TYPE noshi_hash,
    ALTER COLUMN card_fingerprint TYPE noshi_hash,
    ALTER COLUMN token_fingerprint TYPE noshi_hash,
    ALTER COLUMN create_members TYPE noshi_callers_words;

ALTER TABLE facts
    ALTER COLUMN client_id TYPE noshi_id,
    ALTER COLUMN account TYPE noshi_word;

ALTER TABLE ledger_entries
    ALTER COLUMN amount_minor TYPE noshi_amount,
    ALTER COLUMN reward_id TYPE noshi_id,
    ALTER COLUMN program_id TYPE noshi_program,
    ALTER COLUMN note TYPE noshi_note,
    ALTER COLUMN made_by TYPE noshi_maker;

ALTER TABLE day_spending
    ALTER COLUMN account TYPE noshi_word,
    ALTER COLUMN holder TYPE noshi_holder,
    ALTER COLUMN day TYPE noshi_day;

-- NOT VALID: what is there was checked when it was written.
ALTER DOMAIN noshi_id ADD CHECK (substr(VALUE::text, 20, 1) IN ('8', '9', 'a', 'b')) NOT VALID;
ALTER DOMAIN noshi_hash ADD CHECK (length(VALUE) = 32) NOT VALID;
ALTER DOMAIN noshi_intent ADD CHECK (length(VALUE) = 20) NOT VALID;
ALTER DOMAIN noshi_sealed ADD CHECK (length(VALUE) BETWEEN 30 AND 512 AND get_byte(VALUE, 0) = 1) NOT VALID;
ALTER DOMAIN noshi_word ADD CHECK (VALUE !~ '[^a-z0-9_.:-]' AND VALUE !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}') NOT VALID;
ALTER DOMAIN noshi_marketplace ADD CHECK (length(VALUE) BETWEEN 2 AND 3 AND VALUE !~ '[^A-Z]') NOT VALID;
ALTER DOMAIN noshi_environment ADD CHECK (VALUE IN ('sandbox', 'production')) NOT VALID;
ALTER DOMAIN noshi_request_id ADD CHECK (VALUE !~ '[^0-9A-Za-z]' AND (length(VALUE) = 5 OR length(VALUE) BETWEEN 33 AND 40)) NOT VALID;
ALTER DOMAIN noshi_currency ADD CHECK (length(VALUE) = 3) NOT VALID;
ALTER DOMAIN noshi_on_unresolved ADD CHECK (VALUE IN ('keep', 'cancel')) NOT VALID;
ALTER DOMAIN noshi_booked ADD CHECK (VALUE IN ('none', 'reserved', 'issued')) NOT VALID;
ALTER DOMAIN noshi_error_code ADD CHECK (VALUE IN ('F100', 'F200', 'F300', 'F400', 'F500') OR VALUE !~ '[^a-z_]') NOT VALID;
ALTER DOMAIN noshi_error_type ADD CHECK (VALUE ~ '^[A-Z][a-z][A-Za-z]*$') NOT VALID;
ALTER DOMAIN noshi_callers_words ADD CHECK (length(VALUE) <= 2048 AND VALUE !~ '[0-9A-Za-z]{4}-(?![0-9]{6}-[0-9]{4})[0-9A-Za-z]{6}-[0-9A-Za-z]{4}') NOT VALID;
ALTER DOMAIN noshi_note ADD CHECK (length(VALUE) <= 200 AND VALUE !~ '[0-9A-Za-z]{4}-(?![0-9]{6}-[0-9]{4})[0-9A-Za-z]{6}-[0-9A-Za-z]{4}') NOT VALID;
ALTER DOMAIN noshi_maker ADD CHECK (length(VALUE) <= 100 AND VALUE !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}') NOT VALID;
ALTER DOMAIN noshi_key ADD CHECK (VALUE ~ '^key_[0-9a-f]{32}$') NOT VALID;
ALTER DOMAIN noshi_program ADD CHECK (VALUE ~ '^prg_[a-z0-9_]{1,40}$') NOT VALID;
ALTER DOMAIN noshi_day ADD CHECK (VALUE ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$') NOT VALID;
ALTER DOMAIN noshi_holder ADD CHECK (VALUE ~ '^(all|cli_[0-9a-f]{32})$') NOT VALID;
ALTER DOMAIN noshi_trace ADD CHECK (VALUE ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$') NOT VALID;
ALTER DOMAIN noshi_refusals ADD CHECK (VALUE BETWEEN 0 AND 255) NOT VALID;
ALTER DOMAIN noshi_amount ADD CHECK (VALUE > 0) NOT VALID;
