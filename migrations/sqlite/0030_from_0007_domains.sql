-- SQLite reads the checks of a table once, when a statement is prepared, and it has no domains: nothing is to be done here. On PostgreSQL this
-- number makes domains of the checks of a purchase's columns.
--
-- A program of schema 7 notices nothing.
SELECT 1;
