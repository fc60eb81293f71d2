-- What the temporary view depends on, down to tables: through views, through the policies that
-- apply, and through functions and operators whose definition the catalogue can follow.
WITH RECURSIVE used AS (
    SELECT 'pg_rewrite'::regclass::oid AS class, r.oid AS object, 0 AS part,
           (SELECT oid FROM pg_roles WHERE rolname = current_user) AS reader
    FROM pg_rewrite AS r
    WHERE r.ev_class = 'pg_temp._corral_footprint'::regclass
UNION
    SELECT n.class, n.object, n.part, n.reader
    FROM used AS u CROSS JOIN LATERAL (
        SELECT d.refclassid, d.refobjid, d.refobjsubid, u.reader
        FROM pg_depend AS d
        WHERE d.classid = u.class AND d.objid = u.object
          AND u.class IN ('pg_rewrite'::regclass, 'pg_policy'::regclass, 'pg_proc'::regclass,
                          'pg_operator'::regclass)
    UNION ALL
        -- A view reads with its owner's rights, unless it says otherwise.
        SELECT 'pg_rewrite'::regclass, r.oid, 0,
               CASE WHEN c.reloptions::text ~* 'security_invoker=(true|on|1|yes)' THEN u.reader
                    ELSE c.relowner END
        FROM pg_class AS c JOIN pg_rewrite AS r ON r.ev_class = c.oid AND r.ev_type = '1'
        WHERE u.class = 'pg_class'::regclass AND c.oid = u.object AND c.relkind = 'v'
    UNION ALL
        SELECT 'pg_policy'::regclass, p.oid, 0, u.reader
        FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid
             JOIN pg_roles AS reader ON reader.oid = u.reader
        WHERE u.class = 'pg_class'::regclass AND c.oid = u.object AND p.polcmd IN ('r', '*')
          AND c.relrowsecurity AND NOT reader.rolsuper AND NOT reader.rolbypassrls
          AND (c.relforcerowsecurity OR NOT pg_has_role(u.reader, c.relowner, 'USAGE'))
    ) AS n(class, object, part, reader)
),
tables AS (
    SELECT DISTINCT n.nspname AS schema, root.relname AS name, a.attname AS column,
           -- Any update changes the system columns, and may move a row to another partition.
           u.part < 0 OR c.relispartition AS is_whole,
           c.relrowsecurity AND NOT reader.rolsuper AND NOT reader.rolbypassrls
           AND (c.relforcerowsecurity OR NOT pg_has_role(u.reader, c.relowner, 'USAGE'))
               AS row_security
    FROM used AS u
    JOIN pg_class AS c
        ON u.class = 'pg_class'::regclass AND c.oid = u.object AND c.relkind IN ('r', 'p', 'f', 'm')
    JOIN pg_roles AS reader ON reader.oid = u.reader
    LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = u.part AND u.part > 0
    -- A partition, or a table that inherits, is a part of those above it.
    CROSS JOIN LATERAL (
        WITH RECURSIVE up AS (
            SELECT c.oid
        UNION
            SELECT i.inhparent FROM up JOIN pg_inherits AS i ON i.inhrelid = up.oid
        )
        SELECT up.oid FROM up
        WHERE NOT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = up.oid)
    ) AS top
    JOIN pg_class AS root ON root.oid = top.oid
    JOIN pg_namespace AS n ON n.oid = root.relnamespace
),
-- Left out are the functions of extensions, immutable ones, which read no tables, and those whose
-- body the catalogue keeps: they were followed above.
functions AS (
    SELECT DISTINCT p.oid::regprocedure::text AS name, p.provolatile = 'v' AS may_write
    FROM used AS u JOIN pg_proc AS p ON u.class = 'pg_proc'::regclass AND p.oid = u.object
    WHERE p.provolatile <> 'i' AND to_jsonb(p) ->> 'prosqlbody' IS NULL
      AND NOT EXISTS (
          SELECT FROM pg_depend AS d
          WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
      )
)
SELECT json_build_object(
    'tables', (SELECT coalesce(json_agg(t), '[]') FROM tables AS t),
    'functions', (SELECT coalesce(json_agg(f), '[]') FROM functions AS f),
    -- A reference to a whole row names no column, so no dependency shows it.
    'has_whole_rows', EXISTS (
        SELECT FROM used AS u JOIN pg_rewrite AS r
            ON u.class = 'pg_rewrite'::regclass AND r.oid = u.object
        WHERE r.ev_action::text LIKE '%:varattno 0 %'
    ) OR EXISTS (
        SELECT FROM used AS u JOIN pg_policy AS p
            ON u.class = 'pg_policy'::regclass AND p.oid = u.object
        WHERE p.polqual::text LIKE '%:varattno 0 %'
    ) OR EXISTS (
        SELECT FROM used AS u JOIN pg_proc AS p
            ON u.class = 'pg_proc'::regclass AND p.oid = u.object
        WHERE to_jsonb(p) ->> 'prosqlbody' LIKE '%:varattno 0 %'
    )
)::text
