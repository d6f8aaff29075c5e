-- On PostgreSQL the role that serves loses the right to change or delete an entry of the ledger. SQLite has no roles: its triggers, which
-- have stood since 0004, refuse both.
SELECT 1;
