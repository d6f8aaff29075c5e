-- Who is logged in to the console: one row a session. Of the session's token only a hash is kept, so that a copy of the database opens nothing.
--
-- `ends_at`: half an hour after the last page, and at most eight hours after `created_at`. Each log-in removes some that have ended.
--
-- A program of schema 7 does not know the table, and serves no console.
CREATE TABLE console_sessions (
    token_sha256 BLOB NOT NULL PRIMARY KEY CHECK (length(token_sha256) = 32),
    api_key_id BLOB NOT NULL REFERENCES api_keys (id) CHECK (length(api_key_id) = 16 AND substr(hex(api_key_id), 17, 1) IN ('8', '9', 'A', 'B')),
    created_at TEXT NOT NULL CHECK (created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(created_at, 12) NOT GLOB '*[^0-9:.+]*'),
    ends_at TEXT NOT NULL CHECK (ends_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(ends_at, 12) NOT GLOB '*[^0-9:.+]*')
) STRICT;
CREATE INDEX console_sessions_ended ON console_sessions (ends_at);
