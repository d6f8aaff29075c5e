-- Who is logged in to the console: one row a session. Of the session's token only a hash is kept, so that a copy of the database opens nothing.
--
-- `ends_at`: half an hour after the last page, and at most eight hours after `created_at`. Each log-in removes some that have ended.
--
-- A program of schema 7 does not know the table, and serves no console.
CREATE TABLE console_sessions (
    token_sha256 BYTEA NOT NULL PRIMARY KEY CHECK (length(token_sha256) = 32),
    api_key_id UUID NOT NULL REFERENCES api_keys (id) CHECK (substr(api_key_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    created_at TIMESTAMPTZ NOT NULL,
    ends_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX console_sessions_ended ON console_sessions (ends_at);
