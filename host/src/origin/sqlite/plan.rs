//! What must be known of a statement before its rows can be read.
//!
//! A plan is of one schema version, and so is the statement that the driver keeps prepared: the
//! driver remembers the columns that a statement had when it was prepared, while SQLite silently
//! prepares the statement anew when another process changes the schema. The version stands in a
//! comment at the end of the text, so that another version is another statement.

use std::time::Duration;

use sqlx::sqlite::SqliteColumn;
use sqlx::{
    AssertSqlSafe, Column as _, ColumnOrigin, Executor, SqlSafeStr, SqliteConnection, Statement,
    TypeInfo,
};

use super::errors::{classify, refused};
use super::scan::Scan;
use super::text::column_type;
use crate::origin::attempt::FailedAttempt;
use crate::origin::rows::duplicates;
use crate::origin::{ColumnType, OutputColumn, ParamType, Prepared};

/// A statement's text and columns, in one version of the schema.
#[derive(Debug)]
pub(super) struct StatementPlan {
    sql: String,
    columns: Vec<PlannedColumn>,
}

#[derive(Debug)]
struct PlannedColumn {
    column: OutputColumn,
    kind: ColumnKind,
}

/// How a column's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnKind {
    /// By their storage class.
    Plain,
    /// 0 and 1 as false and true.
    Bool,
    /// Text as the document that it is.
    Json,
}

impl StatementPlan {
    /// Prepares the statement and looks up what its columns were declared as. The connection has
    /// seen this version of the schema, and is in a transaction that keeps to it.
    pub(super) async fn find(
        connection: &mut SqliteConnection,
        sql: &str,
        version: i64,
        deadline: Duration,
    ) -> Result<Self, FailedAttempt> {
        let sql = format!("{sql}\n/* schema {version} */");
        let text = AssertSqlSafe(sql.as_str()).into_sql_str();
        let statement = connection.prepare(text).await.map_err(|e| classify(&e, deadline))?;
        let mut columns = Vec::new();
        for column in statement.columns() {
            let planned = planned(connection, column).await;
            columns.push(planned.map_err(|e| classify(&e, deadline))?);
        }
        Ok(Self { sql, columns })
    }

    /// The statement's text in this version of the schema.
    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    /// Whether rows come back.
    pub(super) fn is_returning(&self) -> bool {
        !self.columns.is_empty()
    }

    /// How a column's values are written.
    pub(super) fn kind(&self, index: usize) -> ColumnKind {
        self.columns.get(index).map_or(ColumnKind::Plain, |planned| planned.kind)
    }

    /// What names can be built from a column's values.
    pub(super) fn ty(&self, index: usize) -> Option<&ColumnType> {
        self.columns.get(index).map(|planned| &planned.column.ty)
    }

    /// Where the columns of these names stand. A column that is answered twice has no place: it
    /// can't be told from its namesake.
    pub(super) fn places(&self, asked: &[String]) -> Vec<Option<usize>> {
        let only = |name: &String| {
            let is_it = |planned: &PlannedColumn| planned.column.name == *name;
            let first = self.columns.iter().position(is_it)?;
            self.columns.iter().skip(first + 1).all(|planned| !is_it(planned)).then_some(first)
        };
        asked.iter().map(only).collect()
    }

    /// Compares with a declaration of `declared` parameters. Types are not compared: SQLite has
    /// none for parameters.
    pub(super) fn compare(self, scan: &Scan, declared: usize) -> Prepared {
        let columns: Vec<OutputColumn> =
            self.columns.into_iter().map(|planned| planned.column).collect();
        let mut complaints = scan.compare(declared);
        complaints.extend(duplicates(&columns));
        Prepared { columns, complaints, ..Prepared::default() }
    }
}

/// Checks a read's words. The read-only connection keeps the read from writing; this check keeps it
/// from opening other files (`ATTACH`) and from changing the connection (`PRAGMA`).
pub(super) fn scan_read(sql: &str) -> Result<Scan, FailedAttempt> {
    let scan = Scan::of(sql);
    scan.check().map_err(refused)?;
    match scan.first_word() {
        "SELECT" | "WITH" | "VALUES" => Ok(scan),
        _ => Err(refused("a read begins with SELECT, WITH or VALUES")),
    }
}

/// Checks a write's words: the statement is a write, and does not end its transaction.
pub(super) fn scan_write(sql: &str) -> Result<Scan, FailedAttempt> {
    let scan = Scan::of(sql);
    scan.check().map_err(refused)?;
    match scan.first_word() {
        "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "WITH" | "SELECT" => Ok(scan),
        _ => Err(refused("a write begins with INSERT, UPDATE, DELETE, REPLACE or WITH")),
    }
}

async fn planned(
    connection: &mut SqliteConnection,
    column: &SqliteColumn,
) -> Result<PlannedColumn, sqlx::Error> {
    let name = column.name().to_owned();
    let known = column.type_info().name();
    let mut declared = (known != "NULL").then(|| known.to_owned());
    let mut collation = None;
    if let ColumnOrigin::Table(origin) = column.origin() {
        let (table, column) = (&*origin.table, &*origin.name);
        let found: Option<String> =
            sqlx::query_scalar("SELECT type FROM pragma_table_xinfo($1) WHERE name = $2")
                .bind(table.to_owned())
                .bind(column.to_owned())
                .fetch_optional(&mut *connection)
                .await?;
        declared = found.or(declared);
        if is_collated(&column_type(declared.as_deref())) {
            collation = loose_collation(connection, table, column).await?;
        }
    }
    let kind = kind(declared.as_deref());
    let ty = match collation {
        Some(collation) => ColumnType::Opaque(format!("TEXT COLLATE {collation}")),
        None => column_type(declared.as_deref()),
    };
    Ok(PlannedColumn { column: OutputColumn { name, ty }, kind })
}

fn kind(declared: Option<&str>) -> ColumnKind {
    match declared.unwrap_or_default().to_ascii_uppercase().as_str() {
        "BOOLEAN" | "BOOL" => ColumnKind::Bool,
        "JSON" | "JSONB" => ColumnKind::Json,
        _ => ColumnKind::Plain,
    }
}

/// Whether a column can hold text that is compared as text.
fn is_collated(ty: &ColumnType) -> bool {
    match ty {
        ColumnType::Dynamic => true,
        ColumnType::Named(ty) => {
            matches!(ty, ParamType::Text | ParamType::Date | ParamType::Timestamp)
        }
        ColumnType::Opaque(_) => false,
    }
}

/// The collation of a column, if it takes texts for equal that differ in case or in spaces at the
/// end. SQLite tells a column's collation only through its C interface, so two texts are compared
/// under it.
async fn loose_collation(
    connection: &mut SqliteConnection,
    table: &str,
    column: &str,
) -> Result<Option<&'static str>, sqlx::Error> {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let (table, column) = (quoted(table), quoted(column));
    // The first part of the union gives the column its collation, and the limit keeps the two parts
    // together.
    let sql = format!(
        "SELECT c = 'A', c = 'a ' FROM \
         (SELECT {table}.{column} AS c FROM {table} WHERE 0 UNION ALL SELECT 'a' LIMIT 1)"
    );
    let compared: (bool, bool) =
        sqlx::query_as(AssertSqlSafe(sql)).persistent(false).fetch_one(connection).await?;
    Ok(match compared {
        (true, _) => Some("NOCASE"),
        (false, true) => Some("RTRIM"),
        (false, false) => None,
    })
}
