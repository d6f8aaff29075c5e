-- The keyed hash of Amazon's id of the reward's card, behind the mark of its key, once an answer has shown the card and the settings list a
-- sealing key. Another card under the same request id is noticed by it. Null: none was shown, or a program wrote the answer that does not
-- write this. A program of schema 7 leaves it as it is.
ALTER TABLE rewards
    ADD COLUMN card_fingerprint BYTEA,
    ADD CONSTRAINT rewards_card_fingerprint_check CHECK (length(card_fingerprint) = 32) NOT VALID;
