-- On PostgreSQL what a column of rewards, facts and ledger entries may hold is asked by triggers instead of CHECKs, because PostgreSQL reads a
-- CHECK's text again for every statement. SQLite keeps a CHECK as code within the prepared statement, so here the CHECKs stay.
SELECT 1;
