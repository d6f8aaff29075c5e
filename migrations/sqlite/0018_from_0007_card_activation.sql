-- `target_ending`: the last four digits of what a reward acts on, where its kind shows them. They stay when the target goes. As a
-- number: no claim code is one.
--
-- `done`: an answer to a replay showed that the reward's id has done it, and a read must still show that it stands. Null counts as
-- false. A program of schema 7 knows no kind that is read in that way.
--
-- `activated`: Amazon's report lists the id as an activation of a card, not as the creation of a code. Null counts as false.
ALTER TABLE rewards ADD COLUMN target_ending INTEGER;
ALTER TABLE rewards ADD COLUMN done INTEGER;
ALTER TABLE reconciliation_seen ADD COLUMN activated INTEGER;
