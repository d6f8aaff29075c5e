-- Who reads a feed goes on from the last id that was shown. There is one writer, whose transactions commit in the order of
-- their ids, so nothing has to be held back here.
SELECT 1;
