-- Scopes of API keys that release 0.1.0 does not know: it answers 500 to a key that has one of them in `scopes`. It does not see this
-- column, and takes the key for one without them.
ALTER TABLE api_keys ADD COLUMN later_scopes TEXT NOT NULL DEFAULT '' CHECK (later_scopes !~ '[^a-z_: ]');
