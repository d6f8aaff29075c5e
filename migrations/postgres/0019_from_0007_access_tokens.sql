-- The keyed hash of the access token that a reward was made by, where a shopper signed in with Login with Amazon, behind the mark of its key.
-- A request that comes again with the same token is recognised by it, also once the token has expired. The token itself is kept nowhere. Null:
-- the caller named the target. A program of schema 7 leaves it as it is.
ALTER TABLE rewards
    ADD COLUMN token_fingerprint BYTEA,
    ADD CONSTRAINT rewards_token_fingerprint_check CHECK (length(token_fingerprint) = 32) NOT VALID;
