-- Queues per account.
--
-- Recovery takes up what is due account by account, so the index of due rewards begins with the account. The release before
-- reads it as well: it is small, because finished rewards are not in it.
-- What locks readers out, if for a moment, comes last.
CREATE INDEX rewards_due_of_account ON rewards (account, due_at) WHERE due_at IS NOT NULL;
-- Those that are to be canceled have a deadline, and hands of their own.
CREATE INDEX rewards_due_reversals ON rewards (account, due_at) WHERE cancel_requested AND due_at IS NOT NULL;

-- `booked_us`: when the last new reward that waits for a slot, in whatever replica, will have had it. `breaker_minor`: the
-- smallest amount that Amazon refused for want of funds; what is smaller may pass a breaker that is open for `funds`.
ALTER TABLE upstream ADD COLUMN booked_us BIGINT NOT NULL DEFAULT 0;
ALTER TABLE upstream ADD COLUMN breaker_minor BIGINT;

DROP INDEX rewards_due;
ALTER INDEX rewards_due_of_account RENAME TO rewards_due;
