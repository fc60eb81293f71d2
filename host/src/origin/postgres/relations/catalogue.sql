-- What the catalogue knows of changes: the tables of a plan ($1: [{"schema", "name"}, …]), the table
-- that the statement names ($2), and every key, trigger and rule of the database.
WITH RECURSIVE up AS (
    SELECT c.oid AS start, c.oid AS oid
    FROM pg_class AS c WHERE c.relkind IN ('r', 'p', 'f', 'v')
UNION
    SELECT up.start, i.inhparent FROM up JOIN pg_inherits AS i ON i.inhrelid = up.oid
),
-- A partition, or a table that inherits, is a part of those above it.
roots AS (
    SELECT up.start, c.oid AS root,
           json_build_object('schema', n.nspname, 'name', c.relname) AS named
    FROM up JOIN pg_class AS c ON c.oid = up.oid JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE NOT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = up.oid)
),
planned AS (
    SELECT p.schema, p.name, roots.named AS root,
           roots.start IS NOT DISTINCT FROM to_regclass($2)::oid AND c.relkind <> 'v' AS is_named,
           (SELECT coalesce(json_agg(a.attname), '[]') FROM pg_attribute AS a
            WHERE a.attrelid = c.oid AND a.attgenerated <> '' AND NOT a.attisdropped) AS generated
    FROM json_to_recordset($1::json) AS p(schema text, name text)
    JOIN pg_class AS c ON c.oid = to_regclass(format('%I.%I', p.schema, p.name))
    JOIN roots ON roots.start = c.oid
),
keys AS (
    SELECT DISTINCT k.conname AS name, child.named::text::jsonb AS child,
           parent.named::text::jsonb AS parent,
           k.confdeltype::text AS on_delete, k.confupdtype::text AS on_update,
           (SELECT jsonb_agg(a.attname) FROM pg_attribute AS a
            WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)) AS columns,
           (SELECT jsonb_agg(a.attname) FROM pg_attribute AS a
            WHERE a.attrelid = k.confrelid AND a.attnum = ANY (k.confkey)) AS referenced
    FROM pg_constraint AS k
    JOIN roots AS child ON child.start = k.conrelid
    JOIN roots AS parent ON parent.start = k.confrelid
    WHERE k.contype = 'f'
      AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))
),
triggers AS (
    SELECT DISTINCT t.tgname AS name, roots.named::text::jsonb AS table,
           t.tgtype & 4 <> 0 AS inserts, t.tgtype & 8 <> 0 AS deletes, t.tgtype & 16 <> 0 AS updates,
           (SELECT coalesce(jsonb_agg(a.attname), '[]') FROM pg_attribute AS a
            WHERE a.attrelid = t.tgrelid AND a.attnum = ANY (t.tgattr::int2[])) AS columns
    FROM pg_trigger AS t JOIN roots ON roots.start = t.tgrelid
    WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
),
rules AS (
    SELECT r.rulename AS name, roots.named AS table,
           r.ev_type = '3' AS inserts, r.ev_type = '4' AS deletes, r.ev_type = '2' AS updates
    FROM pg_rewrite AS r JOIN roots ON roots.start = r.ev_class
    WHERE r.ev_type <> '1' AND r.ev_enabled IN ('O', 'A')
)
SELECT json_build_object(
    'planned', (SELECT coalesce(json_agg(p), '[]') FROM planned AS p),
    'keys', (SELECT coalesce(json_agg(k), '[]') FROM keys AS k),
    'triggers', (SELECT coalesce(json_agg(t), '[]') FROM triggers AS t),
    'rules', (SELECT coalesce(json_agg(r), '[]') FROM rules AS r)
)::text
