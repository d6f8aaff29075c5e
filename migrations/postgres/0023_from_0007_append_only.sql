-- The role that serves may neither change nor delete an entry of the ledger. The triggers refuse it too; but whoever can alter a trigger's
-- table is its owner, and the right to do it is what this takes away. The owner's defaults had granted it with the table.
--
-- No program changes or deletes an entry.
DO $$
DECLARE
    grantee TEXT;
BEGIN
    FOR grantee IN
        SELECT DISTINCT CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END
        FROM pg_class c, aclexplode(c.relacl) g
        WHERE c.oid = 'ledger_entries'::regclass AND g.grantee <> c.relowner
    LOOP
        EXECUTE 'REVOKE UPDATE, DELETE, TRUNCATE ON ledger_entries FROM ' || grantee;
    END LOOP;
END
$$;
