-- How often a replay of an unproven create was refused for good (F200): after three a person decides.
ALTER TABLE rewards ADD COLUMN refusals INTEGER NOT NULL DEFAULT 0 CHECK (refusals BETWEEN 0 AND 255);
