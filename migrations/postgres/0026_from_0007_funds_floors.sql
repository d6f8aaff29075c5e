-- What purchases leave untouched of an account's funds (`funds_floor` of its settings). Amounts in minor units.
--
-- `let_in_minor`: every reward that was let in, added up; it only grows. `covered_minor`: what `let_in_minor` may come to before the
-- funds are used up that Amazon reported when it was last asked, at `as_of`. `rising_minor`, `rising_since`, `rising_amazon`: the
-- least of the reports that cover more, until they have agreed for long enough; when the first of them was asked for by our clock, and
-- answered by Amazon's. `refused_at`: when the floor first refused a reward, until there
-- was room for the largest one again.
--
-- A program of an older schema neither counts nor refuses.
CREATE TABLE funds_floors (
    account TEXT NOT NULL CHECK (account !~ '[^a-z0-9_.:-]' AND account !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    partner_id TEXT NOT NULL CHECK (partner_id ~ '^[0-9A-Za-z]{1,8}$'),
    let_in_minor BIGINT NOT NULL CHECK (let_in_minor >= 0),
    covered_minor BIGINT NOT NULL,
    as_of TIMESTAMPTZ NOT NULL,
    rising_minor BIGINT,
    rising_since TIMESTAMPTZ,
    rising_amazon TIMESTAMPTZ,
    refused_at TIMESTAMPTZ,
    PRIMARY KEY (account, currency)
);
