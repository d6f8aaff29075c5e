-- Charges whose money is held first, and taken or given back later.
--
-- `held`: of a charge: Amazon holds the money, and a capture takes it. A capture is a row of its own, of the kind `capture`, whose parent is the charge;
-- the charge itself says how its capture stands: `capture_status`, in a word of ours (`capturing`, `paid`, `declined`, `needs_attention`; none where nothing was
-- taken and nothing is being taken), and `captured_minor`: how much. `expires_at`: when Amazon gives back by itself what it holds. `look_at`: when Amazon is asked
-- next whether it still holds it; none where nothing is held.
--
-- `payments_remote` leads from an id of Amazon's to its rows: a capture has that of its charge.
ALTER TABLE payments
    ADD COLUMN held BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN capture_status TEXT CHECK (length(capture_status) <= 32 AND capture_status !~ '[^a-z_]'),
    ADD COLUMN captured_minor BIGINT CHECK (captured_minor > 0),
    ADD COLUMN expires_at TIMESTAMPTZ,
    ADD COLUMN look_at TIMESTAMPTZ;
CREATE INDEX payments_remote ON payments (remote_id, id) WHERE remote_id IS NOT NULL;
CREATE INDEX payments_look ON payments (look_at) WHERE look_at IS NOT NULL;
