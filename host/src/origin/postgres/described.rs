//! The columns of a read that the driver can't describe: it does not know multiranges. A temporary
//! view has the same columns, and the catalogue describes those.

use sqlx::{AssertSqlSafe, PgConnection};

use super::bind::named;
use super::errors::classify;
use super::{relations, simple};
use crate::origin::attempt::{CallTime, FailedAttempt};
use crate::origin::tokens::Dialect;
use crate::origin::{ColumnType, OutputColumn, ParamType, ReadStatement};

/// For each column: its name, the number of its type (of a domain's base type), whether that type
/// is an enum, the type's name, and the collation if different texts may be equal under it.
const COLUMNS: &str = "
SELECT a.attname::text, base.oid::int8, base.typtype = 'e',
    format_type(base.oid, NULL), (c.collname::text)
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
JOIN pg_catalog.pg_type AS base
    ON base.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
LEFT JOIN pg_catalog.pg_collation AS c ON c.oid = a.attcollation AND NOT c.collisdeterministic
WHERE a.attrelid = 'pg_temp._corral_columns'::regclass AND a.attnum > 0
ORDER BY a.attnum";

type Described = (String, i64, bool, String, Option<String>);

/// Asks the catalogue, in the transaction that is open.
pub(super) async fn columns(
    connection: &mut PgConnection,
    read: &ReadStatement,
    patience: CallTime,
) -> Result<Vec<OutputColumn>, FailedAttempt> {
    let dialect = Dialect::Postgres { has_backslashes: false };
    let sql = relations::without_parameters(&read.sql, &read.params, dialect)?;
    let view =
        format!("CREATE TEMPORARY VIEW _corral_columns AS SELECT * FROM (\n{sql}\n) AS _corral");
    simple(connection, view, patience).await?;
    let described: Vec<Described> = sqlx::query_as(AssertSqlSafe(COLUMNS))
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(|e| classify(e, patience.deadline()))?;
    Ok(described.into_iter().map(column).collect())
}

fn column((name, number, is_enum, called, collation): Described) -> OutputColumn {
    let known = u32::try_from(number).ok().and_then(named);
    let ty = match (collation, known) {
        (Some(collation), _) => ColumnType::Opaque(format!("text collate {collation}")),
        (None, Some(known)) => ColumnType::Named(known),
        (None, None) if is_enum => ColumnType::Named(ParamType::Text),
        (None, None) => ColumnType::Opaque(called),
    };
    OutputColumn { name, ty }
}
