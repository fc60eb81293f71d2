//! The program that SQLite makes of a statement, as `EXPLAIN` lists it
//! (<https://sqlite.org/opcode.html>), and the schema that its numbers refer to.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use crate::origin::relations::Columns;
use crate::origin::tokens::{Dialect, tokens};

/// One instruction.
#[derive(Debug, Clone)]
pub(super) struct Instruction {
    pub(super) opcode: String,
    pub(super) p1: i64,
    pub(super) p2: i64,
    pub(super) p4: Option<String>,
}

/// A statement's program first, and after it those of the triggers and foreign keys that it sets off.
pub(super) type Programs = Vec<Vec<Instruction>>;

/// What lies at a root page.
#[derive(Debug, Clone)]
pub(super) enum Tree {
    /// The rows of a table.
    Table(String),
    /// An index: its table, and the columns that it needs.
    Index(String, Columns),
}

/// A table's columns.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// As they are stored: computed ones that are not stored are missing.
    pub(super) stored: Vec<String>,
    /// Those that are computed and stored.
    pub(super) generated: Vec<String>,
    /// The column that is another name for the row's number.
    pub(super) row_id: Option<String>,
    /// Whether its definition says that a conflict replaces rows.
    pub(super) may_replace: bool,
}

/// The schema, by root pages and names.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) trees: BTreeMap<i64, Tree>,
    pub(super) shapes: BTreeMap<String, Shape>,
}

impl Schema {
    pub(super) async fn read(connection: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        let rows = sqlx::raw_sql("SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema")
            .fetch_all(&mut *connection)
            .await?;
        let mut schema = Self { trees: BTreeMap::new(), shapes: BTreeMap::new() };
        for row in rows {
            let (kind, name): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let (table, page): (String, i64) = (row.try_get(2)?, row.try_get(3)?);
            match kind.as_str() {
                "table" => {
                    let sql: Option<String> = row.try_get(4)?;
                    let shape = shape(connection, &name, sql.as_deref()).await?;
                    schema.shapes.insert(name.clone(), shape);
                    schema.trees.insert(page, Tree::Table(name));
                }
                "index" => {
                    let columns = index_columns(connection, &table, &name).await?;
                    schema.trees.insert(page, Tree::Index(table, columns));
                }
                _ => {}
            }
        }
        Ok(schema)
    }
}

/// Lists the programs of a statement. Nothing runs.
pub(super) async fn explain(
    connection: &mut SqliteConnection,
    sql: &str,
) -> Result<Programs, sqlx::Error> {
    let rows = sqlx::raw_sql(AssertSqlSafe(format!("EXPLAIN {sql}"))).fetch_all(connection).await?;
    let mut programs = Programs::new();
    for row in rows {
        if row.try_get::<i64, _>("addr")? == 0 || programs.is_empty() {
            programs.push(Vec::new());
        }
        if let Some(program) = programs.last_mut() {
            program.push(instruction(&row)?);
        }
    }
    Ok(programs)
}

fn instruction(row: &SqliteRow) -> Result<Instruction, sqlx::Error> {
    Ok(Instruction {
        opcode: row.try_get("opcode")?,
        p1: row.try_get("p1")?,
        p2: row.try_get("p2")?,
        p4: row.try_get("p4")?,
    })
}

async fn shape(
    connection: &mut SqliteConnection,
    table: &str,
    sql: Option<&str>,
) -> Result<Shape, sqlx::Error> {
    let columns = "SELECT name, hidden = 3, upper(type) = 'INTEGER' AND pk > 0 AND \
                   (SELECT max(pk) FROM pragma_table_xinfo($1)) = 1 \
                   FROM pragma_table_xinfo($1) WHERE hidden <> 2 ORDER BY cid";
    let columns: Vec<(String, bool, bool)> =
        sqlx::query_as(columns).persistent(false).bind(table).fetch_all(connection).await?;
    let names = |are: fn(&&(String, bool, bool)) -> bool| {
        columns.iter().filter(are).map(|(name, ..)| name.clone())
    };
    Ok(Shape {
        generated: names(|(_, is_generated, _)| *is_generated).collect(),
        row_id: names(|(_, _, is_row_id)| *is_row_id).next(),
        stored: names(|_| true).collect(),
        may_replace: sql.is_some_and(|sql| has_word(sql, "REPLACE")),
    })
}

/// An index over an expression may need any column, and so may the condition of a partial one.
async fn index_columns(
    connection: &mut SqliteConnection,
    table: &str,
    index: &str,
) -> Result<Columns, sqlx::Error> {
    let partial = "SELECT partial FROM pragma_index_list($1) WHERE name = $2";
    let is_partial: Option<bool> = sqlx::query_scalar(partial)
        .persistent(false)
        .bind(table)
        .bind(index)
        .fetch_optional(&mut *connection)
        .await?;
    let columns: Vec<(i64, Option<String>)> =
        sqlx::query_as("SELECT cid, name FROM pragma_index_xinfo($1)")
            .persistent(false)
            .bind(index)
            .fetch_all(connection)
            .await?;
    // -2 is an expression, -1 the row's number.
    if is_partial != Some(false) || columns.iter().any(|(cid, _)| *cid == -2) {
        return Ok(Columns::All);
    }
    let names: BTreeSet<String> = columns.into_iter().filter_map(|(_, name)| name).collect();
    Ok(Columns::Some(names))
}

/// Whether the word stands in a statement, outside of literals, quoted names and comments.
pub(super) fn has_word(sql: &str, word: &str) -> bool {
    tokens(sql, Dialect::Sqlite).iter().any(|token| token.is(word))
}
