-- Rewards that still hold a target: the few under way, and those issued within the time for their reversal. What has outlived its
-- time is wiped by this index, and the keys that may not be taken away yet are counted by it.
CREATE INDEX rewards_targets ON rewards (target_key) WHERE target_key IS NOT NULL;
