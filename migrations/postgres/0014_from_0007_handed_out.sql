-- `handed_out`: whether a reward's receipt may have been handed to somebody. It is written before the receipt leaves; false
-- proves that nobody has it. A program of schema 7 does not write it, and leaves what was there. Null: it may have been as soon
-- as the reward was issued. Together with `attention = 'cancel_unproven'`, false means that the cancel of what nobody has came to nothing.
--
-- `attempts_before`: how many of the attempts came before the outcome was unproven. Null counts as none.
ALTER TABLE rewards
    ADD COLUMN handed_out BOOLEAN,
    ADD COLUMN attempts_before BIGINT;
