//! What must be known of a statement before its rows can be read.

use std::time::Duration;

use sqlx::sqlite::SqliteColumn;
use sqlx::{
    AssertSqlSafe, Column, ColumnOrigin, Executor, SqlSafeStr, SqliteConnection, Statement,
    TypeInfo,
};

use super::errors::{classify, refused};
use super::scan::Scan;
use crate::origin::Prepared;
use crate::origin::attempt::Failure;
use crate::origin::rows::duplicates;

/// A statement's columns and parameters.
#[derive(Debug)]
pub(super) struct Plan {
    columns: Vec<PlannedColumn>,
    scan: Scan,
}

#[derive(Debug)]
struct PlannedColumn {
    name: String,
    kind: Kind,
}

/// How a column's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As what they are.
    Plain,
    /// 0 and 1 as false and true.
    Bool,
    /// Text as the document that it is.
    Json,
}

impl Plan {
    /// Prepares the statement and looks up what its columns were declared as.
    pub(super) async fn find(
        connection: &mut SqliteConnection,
        sql: &str,
        deadline: Duration,
    ) -> Result<Self, Failure> {
        let scan = Scan::of(sql);
        scan.check().map_err(refused)?;
        let text = AssertSqlSafe(sql).into_sql_str();
        let statement = connection.prepare(text).await.map_err(|e| classify(&e, deadline))?;
        let mut columns = Vec::new();
        for column in statement.columns() {
            let kind = kind(connection, column).await.map_err(|e| classify(&e, deadline))?;
            columns.push(PlannedColumn { name: column.name().to_owned(), kind });
        }
        Ok(Self { columns, scan })
    }

    /// Whether it is a read. The read-only connection keeps it from writing; this keeps it from
    /// opening other files (`ATTACH`) and changing the connection (`PRAGMA`).
    pub(super) fn check_read(&self) -> Result<(), Failure> {
        match self.scan.first_word() {
            "SELECT" | "WITH" | "VALUES" => Ok(()),
            _ => Err(refused("a read begins with SELECT, WITH or VALUES")),
        }
    }

    /// Whether it is a write, and not something that would end its transaction.
    pub(super) fn check_write(&self) -> Result<(), Failure> {
        match self.scan.first_word() {
            "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "WITH" | "SELECT" => Ok(()),
            _ => Err(refused("a write begins with INSERT, UPDATE, DELETE, REPLACE or WITH")),
        }
    }

    /// Whether rows come back.
    pub(super) fn is_returning(&self) -> bool {
        !self.columns.is_empty()
    }

    /// How a column's values are written.
    pub(super) fn kind(&self, index: usize) -> Kind {
        self.columns.get(index).map_or(Kind::Plain, |column| column.kind)
    }

    /// Compares with a declaration of so many parameters. Types are not compared: SQLite has none
    /// for parameters.
    pub(super) fn compare(&self, declared: usize) -> Prepared {
        let columns: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        let mut complaints = self.scan.compare(declared);
        complaints.extend(duplicates(&columns));
        Prepared { columns, complaints }
    }
}

async fn kind(
    connection: &mut SqliteConnection,
    column: &SqliteColumn,
) -> Result<Kind, sqlx::Error> {
    if column.type_info().name() == "BOOLEAN" {
        return Ok(Kind::Bool);
    }
    let ColumnOrigin::Table(origin) = column.origin() else { return Ok(Kind::Plain) };
    let declared: Option<String> =
        sqlx::query_scalar("SELECT type FROM pragma_table_info($1) WHERE name = $2")
            .bind(origin.table.to_string())
            .bind(origin.name.to_string())
            .fetch_optional(connection)
            .await?;
    let is_json = declared.is_some_and(|declared| {
        declared.eq_ignore_ascii_case("JSON") || declared.eq_ignore_ascii_case("JSONB")
    });
    Ok(if is_json { Kind::Json } else { Kind::Plain })
}
