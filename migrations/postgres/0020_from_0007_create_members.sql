-- What the create of a gift code says besides its value, as the JSON members that each attempt sends: the program of a reseller, the product
-- of a voucher, the caller's reference, the till. Written with the intent, so that every replay sends the same bytes. Null: nothing.
--
-- A program of schema 7 would replay such a row without them. It takes no row of a kind that it does not know, so the kind of these rows
-- is `gift_code_extended`.
--
-- The words are a caller's own: an order number passes, as in 0016. NOT VALID: every row has null, and a look at them all would hold
-- everyone up.
ALTER TABLE rewards
    ADD COLUMN create_members TEXT,
    ADD CONSTRAINT rewards_create_members_check CHECK (length(create_members) <= 2048 AND create_members !~ '[0-9A-Za-z]{4}-(?![0-9]{6}-[0-9]{4})[0-9A-Za-z]{6}-[0-9A-Za-z]{4}') NOT VALID;
