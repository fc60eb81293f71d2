//! What a read would leave behind in its session, found in the functions that it calls.
//!
//! The statement becomes the body of a temporary function, whose analysed tree the server keeps.
//! The catalogue tells which functions that tree calls, and which ones the views, policies and SQL
//! functions call that it uses. Nothing runs, and the function is gone with its transaction.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};

use super::errors::classify;
use super::{frame, simple};
use crate::origin::attempt::{CallTime, FailedAttempt};
use crate::origin::{OriginError, ParamType, Prepared};

/// Every function in the statement's tree and in the trees that it refers to: its name, whether it
/// is built in, whether it may do more than compute, and its source.
///
/// The trees are those of `pg_node_tree`, where one of these fields names a function.
const CALLED: &str = r"
WITH RECURSIVE tree(body) AS (
    SELECT prosqlbody::text FROM pg_catalog.pg_proc
    WHERE proname = '_corral' AND pronamespace = pg_catalog.pg_my_temp_schema()
  UNION
    SELECT more.body FROM tree CROSS JOIN LATERAL (
        SELECT ev_action::text AS body FROM pg_catalog.pg_rewrite
        WHERE ev_type = '1' AND ev_class::text IN
            (SELECT m[1] FROM regexp_matches(tree.body, ':relid (\d+)', 'g') AS m)
      UNION ALL
        SELECT polqual::text FROM pg_catalog.pg_policy
        WHERE polrelid::text IN
            (SELECT m[1] FROM regexp_matches(tree.body, ':relid (\d+)', 'g') AS m)
      UNION ALL
        SELECT prosqlbody::text FROM pg_catalog.pg_proc
        WHERE prosqlbody IS NOT NULL AND oid::text IN
            (SELECT m[1] FROM regexp_matches(tree.body, ':(?:op)?funcid (\d+)', 'g') AS m)
    ) AS more
    WHERE more.body IS NOT NULL
)
SELECT DISTINCT proname::text, pronamespace = 'pg_catalog'::regnamespace,
    provolatile = 'v' AND prosqlbody IS NULL, lower(prosrc)
FROM tree
CROSS JOIN LATERAL
    regexp_matches(body, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g') AS m
JOIN pg_catalog.pg_proc ON pg_proc.oid::text = m[1]
UNION
SELECT 'CURRENT_TIMESTAMP', true, false, NULL FROM tree WHERE body ~ '\{SQLVALUEFUNCTION :op [0-8] '
ORDER BY 1";

/// Functions that say what time it is. `CURRENT_TIMESTAMP` stands for all keywords that do
/// (`CURRENT_DATE`).
const CLOCKS: [&str; 6] = [
    "now",
    "transaction_timestamp",
    "statement_timestamp",
    "clock_timestamp",
    "timeofday",
    "CURRENT_TIMESTAMP",
];

/// Built-in functions that answer something else on each call.
const CHANCE: [&str; 5] = ["random", "random_normal", "gen_random_uuid", "uuidv4", "uuidv7"];

/// Built-in functions whose effect outlives the statement.
const LASTING: [&str; 4] = ["set_config", "setseed", "pg_advisory_", "pg_try_advisory_"];

/// Locks that end with their transaction.
const OF_TRANSACTION: &str = "_xact_";

/// Built-in functions that run a statement that they are given as a text.
const RUNNING: [&str; 6] = [
    "query_to_xml",
    "query_to_xmlschema",
    "query_to_xml_and_xmlschema",
    "cursor_to_xml",
    "ts_stat",
    "ts_rewrite",
];

/// Adds to `prepared` what the read would leave behind in its session.
pub(super) async fn examine(
    connection: &mut PgConnection,
    sql: &str,
    params: &[ParamType],
    deadline: Duration,
    prepared: &mut Prepared,
) -> Result<(), FailedAttempt> {
    let types = params.iter().map(ParamType::to_string).collect::<Vec<_>>().join(", ");
    let create = format!(
        "SAVEPOINT _corral; CREATE FUNCTION pg_temp._corral({types}) RETURNS SETOF record \
         LANGUAGE sql BEGIN ATOMIC\n{sql}\n; END"
    );
    let created = sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *connection).await;
    match created.map_err(|e| classify(e, deadline)) {
        Ok(_) => {}
        Err(FailedAttempt { error: OriginError::Rejected { code, message }, .. }) => {
            prepared.notes.push(format!(
                "it is not known which functions it calls, and what they would leave in its \
                 session: {message} ({code}); Postgres 14 and the right to create temporary \
                 objects are needed"
            ));
            return simple(connection, frame::UNDO.to_owned(), CallTime::new(deadline)).await;
        }
        Err(failure) => return Err(failure),
    }
    let called = sqlx::query_as(CALLED).fetch_all(connection).await;
    for function in called.map_err(|e| classify(e, deadline))? {
        judge(function, prepared);
    }
    Ok(())
}

fn judge(
    (name, is_built_in, may_do_more, source): (String, bool, bool, Option<String>),
    prepared: &mut Prepared,
) {
    let is_lasting = |name: &str| {
        LASTING.iter().any(|known| name.starts_with(known)) && !name.contains(OF_TRANSACTION)
    };
    let source = source.unwrap_or_default().replace(OF_TRANSACTION, "");
    let called = LASTING.iter().find(|known| source.contains(**known));
    if is_built_in && is_lasting(&name) {
        prepared.complaints.push(format!(
            "it calls {name}, which changes its session for the reads after it: leave the call \
             out; make settings for the role, or in the origin's URL"
        ));
    } else if is_built_in && CLOCKS.contains(&&*name) {
        prepared.note_clock(&name);
    } else if is_built_in && CHANCE.contains(&&*name) {
        prepared.complain_of_chance(&name);
    } else if let (false, Some(called)) = (is_built_in, called) {
        prepared.complaints.push(format!(
            "it calls {name}, whose source names {called}, which changes its session for the \
             reads after it: call another function"
        ));
    } else if !is_built_in && may_do_more {
        prepared.varies = true;
        prepared.complaints.push(format!(
            "it calls {name}, which is VOLATILE: it may answer something else on each call, while \
             readers share one answer; if it only reads, declare it STABLE"
        ));
    } else if RUNNING.contains(&name.as_str()) {
        prepared.notes.push(format!(
            "it calls {name}, and what that runs is not known; settings that it makes are undone \
             after each read, and readers share what it answers"
        ));
    }
}
