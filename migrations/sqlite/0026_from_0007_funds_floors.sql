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
    account TEXT NOT NULL CHECK (account NOT GLOB '*[^a-z0-9_.:-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    partner_id TEXT NOT NULL CHECK (length(partner_id) BETWEEN 1 AND 8 AND partner_id NOT GLOB '*[^0-9A-Za-z]*'),
    let_in_minor INTEGER NOT NULL CHECK (let_in_minor >= 0),
    covered_minor INTEGER NOT NULL,
    as_of TEXT NOT NULL CHECK (as_of GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(as_of, 12) NOT GLOB '*[^0-9:.+]*'),
    rising_minor INTEGER,
    rising_since TEXT CHECK (rising_since GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(rising_since, 12) NOT GLOB '*[^0-9:.+]*'),
    rising_amazon TEXT CHECK (rising_amazon GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(rising_amazon, 12) NOT GLOB '*[^0-9:.+]*'),
    refused_at TEXT CHECK (refused_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(refused_at, 12) NOT GLOB '*[^0-9:.+]*'),
    PRIMARY KEY (account, currency)
) STRICT;
